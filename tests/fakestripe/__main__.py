"""The fake Stripe on its own, in real time: `python -m tests.fakestripe [options] [--run COMMAND …]`.

It prints the settings under which a Kapok works with it, as lines of a file `.env`, and serves until a signal comes.
With `--run` it runs a command under these settings, and ends with it and with its exit status. Payees whose name holds
"return-once" or "return-payout" get their first, or every, payout returned by the bank after it was paid; those with
"restricted" in it may not receive transfers.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence

from tests.fakestripe.server import Fake, running_fake

WEBHOOK_TRIES = 60
# Long enough for the news that a payout was paid to be read before it is returned, also on a busy machine.
RETURN_SECONDS = 5
# Less than the demo's platform fee brings in: enterprises are credited in full, so what Stripe keeps is the platform's
# cost, and refunds and the last payouts would wait for money that nobody put there.
FEE_BPS = 100


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments and serve."""
    given = _parser().parse_args(argv)
    return asyncio.run(_serve(given))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fakestripe", description="A stateful fake of Stripe.")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes any free one")
    parser.add_argument("--kapok-port", type=int, default=0, help="port of the Kapok that gets the webhooks; 0: PORT")
    parser.add_argument("--fee-bps", type=int, default=FEE_BPS, help="what Stripe keeps of a charge, in 1/10000")
    parser.add_argument("--pending", type=int, default=0, metavar="SECONDS", help="until a charge is available")
    parser.add_argument("--arrival", type=int, default=0, metavar="SECONDS", help="until a payout is paid")
    parser.add_argument("--return", dest="returned", type=int, default=RETURN_SECONDS, metavar="SECONDS",
                        help="from paid until the bank returns a payout")  # fmt: skip
    parser.add_argument("--webhook-delay", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--duplicate", action="store_true", help="send every webhook twice")
    parser.add_argument("--reorder", action="store_true", help="send webhooks of one moment in another order")
    parser.add_argument("--drop", action="store_true", help="send no webhook")
    parser.add_argument("--run", nargs=argparse.REMAINDER, default=[], metavar="COMMAND", help="run this, then end")
    return parser


async def _serve(given: argparse.Namespace) -> int:
    async with running_fake(given.port) as fake:
        world = fake.world
        world.pending_seconds, world.arrival_seconds = given.pending, given.arrival
        world.return_seconds, world.fee_per_myriad, world.fee_fixed_minor = given.returned, given.fee_bps, 0
        kapok_port = given.kapok_port or (_free_port() if given.run else int(os.environ.get("PORT", "8000")))
        settings = _settings(fake, kapok_port)
        fake.deliver_to(
            f"http://127.0.0.1:{kapok_port}/v1/webhooks/stripe", duplicate=given.duplicate, reorder=given.reorder,
            drop=given.drop, delay=given.webhook_delay, tries=WEBHOOK_TRIES,
        )  # fmt: skip
        clock = asyncio.create_task(fake.keep_time())
        try:
            if given.run:
                return await _run(given.run, settings)
            sys.stdout.write("".join(f"{name}={value}\n" for name, value in settings.items()))
            sys.stdout.flush()
            await _signalled()
            return 0
        finally:
            clock.cancel()
            fake.end_deliveries()


def _settings(fake: Fake, kapok_port: int) -> dict[str, str]:
    return {
        "KAPOK_PAYMENTS": "stripe", "PORT": str(kapok_port), "STRIPE_API_BASE": fake.url,
        "STRIPE_API_KEY": fake.api_key, "STRIPE_WEBHOOK_SECRETS": fake.webhook_secret,
        "STRIPE_TEST_PAYMENT_METHOD": "pm_card_visa",
    }  # fmt: skip


async def _run(command: Sequence[str], settings: dict[str, str]) -> int:
    process = await asyncio.create_subprocess_exec(*command, env=os.environ | settings)
    ends = asyncio.create_task(process.wait())
    signalled = asyncio.create_task(_signalled())
    await asyncio.wait([ends, signalled], return_when=asyncio.FIRST_COMPLETED)
    if not ends.done():
        process.terminate()
    return await ends


async def _signalled() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
