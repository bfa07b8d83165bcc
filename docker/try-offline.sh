#!/usr/bin/env bash
# Builds the images and runs the whole walk-through on them, on a Debian 12 without a container engine and without an
# image registry: debootstrap makes a stand-in for the Python image, buildah builds, podman runs with runc.
# Needs root, apt and the package index (for the wheels); takes about ten minutes, then two.
#
#   docker/try-offline.sh          # everything is kept in KAPOK_TRY (/var/tmp/kapok-try); remove the folder afterwards
#
# Not tried here: the images of PostgreSQL, Valkey and Caddy (stand-ins run on this machine), bridge networks, Compose.
set -euo pipefail
cd "$(dirname "$0")/.."
try=${KAPOK_TRY:-/var/tmp/kapok-try}
python=.venv/bin/python
image=docker.io/library/python:3.12-slim-bookworm
port=${PORT:-18080}
mkdir -p "$try"/{wheels,home,storage,run}
chmod 711 "$try" "$try/home"

say() { printf '→ %s\n' "$*"; }
[ "$(id -u)" = 0 ] || { echo "This needs root." >&2; exit 1; }
[ -x "$python" ] || make setup-dev

say "Tools"
need=()
for tool in buildah podman runc debootstrap curl; do command -v "$tool" >/dev/null || need+=("$tool"); done
[ -e /usr/libexec/podman/catatonit ] || [ -e /usr/bin/catatonit ] || need+=(catatonit)
if ((${#need[@]})); then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${need[@]}" >/dev/null
fi

# crun does not start under hybrid cgroups, timers for health checks need systemd, and limits need CAP_SYS_RESOURCE.
cat >"$try/storage.conf" <<CONF
[storage]
driver = "overlay"
graphroot = "$try/storage"
runroot = "$try/run"
CONF
cat >"$try/containers.conf" <<'CONF'
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
netns = "host"
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
CONF
export CONTAINERS_STORAGE_CONF="$try/storage.conf" CONTAINERS_CONF="$try/containers.conf"

if ! podman image exists "$image"; then
    say "A stand-in for $image"
    [ -e "$try/root/usr/bin/python3" ] || debootstrap --variant=minbase \
        --include=python3,python3-venv,ca-certificates bookworm "$try/root" >"$try/debootstrap.log"
    ln -sf python3 "$try/root/usr/bin/python"
    tar -C "$try/root" -c . | podman import --quiet - "$image" >/dev/null
fi

say "Wheels of docker/requirements.lock"
"$python" -m pip --version >/dev/null 2>&1 || "$python" -m ensurepip >/dev/null
# What the lock asks for on older Pythons only (Debian's is 3.11.2) is wanted whichever Python downloads.
sed "s/ ; python_full_version < '3\.11\.[0-9]*'//" docker/requirements.lock >"$try/requirements.lock"
"$python" -m pip download --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
    --python-version 3.11 --dest "$try/wheels" --requirement "$try/requirements.lock"

for target in migrate worker api; do
    say "Image kapok-$target"
    buildah bud --quiet --isolation chroot --pull-never --format docker --layers --volume "$try/wheels:/wheels:ro" \
        --build-arg PIP_NO_INDEX=1 --build-arg PIP_FIND_LINKS=/wheels --build-arg PYTHON_IMAGE="$image" \
        --file docker/Dockerfile --target "$target" --tag "kapok-$target" . >"$try/build-$target.log"
done
podman images --format '  {{.Repository}} {{.Size}}' | grep kapok

running=()
servers=
stop() {
    if ((${#running[@]})); then podman rm --force --time 15 "${running[@]}" >/dev/null || true; fi
    if [ -n "$servers" ]; then kill -TERM "$servers" && wait "$servers" || true; fi
}
trap stop EXIT

say "Servers"
coproc SERVERS { exec "$python" docker/stand_in.py servers "$try/home"; }
servers=$SERVERS_PID
read -r DATABASE_URL REDIS_URL <&"${SERVERS[0]}"

say "Containers"
umask 077
"$python" docker/make_env.py "http://127.0.0.1:$port" | tr -d "'" >"$try/env"
printf 'DATABASE_URL=%s\nREDIS_URL=%s\nPORT=%s\n' "$DATABASE_URL" "$REDIS_URL" "$port" >>"$try/env"
run() {  # run NAME OPTION...: the options that compose.yaml gives every container of ours
    podman run --name "kapok-try-$1" --no-healthcheck --pull never --init --read-only --tmpfs /tmp --cap-drop all \
        --security-opt no-new-privileges --volume kapok-try:/var/lib/kapok --env-file "$try/env" "${@:2}"
}
podman volume exists kapok-try || podman volume create kapok-try >/dev/null
run migrate --rm kapok-migrate
run worker --detach kapok-worker >/dev/null && running+=(kapok-try-worker)
run api --detach kapok-api >/dev/null && running+=(kapok-try-api)
for _ in $(seq 120); do
    curl -fsS "http://127.0.0.1:$port/healthz/ready" >/dev/null 2>&1 && break
    sleep 0.5
done
curl -fsS "http://127.0.0.1:$port/healthz/ready" || { podman logs kapok-try-api; exit 1; }
echo
podman exec kapok-try-api id
podman exec kapok-try-worker python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:9100/metrics', timeout=4)"

say "The walk-through of docs/"
DATABASE_URL=$DATABASE_URL REDIS_URL=$REDIS_URL "$python" docker/stand_in.py operator
"$python" -c 'from tests.docs.test_walkthrough import PAGE, script_of; print(script_of(PAGE.read_text()))' >"$try/walk.sh"
(cd "$try" && KAPOK="http://127.0.0.1:$port" BIDDING_SECONDS=30 bash walk.sh >walk.log)
tail -n 3 "$try/walk.log"
say "Built, started, and paid. Remove $try when you are done."
