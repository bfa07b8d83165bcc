import json
import math
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from marketplace.catalog.answers import make_validator
from marketplace.catalog.label_schemas import read_definition
from marketplace.catalog.states import LabelKind
from marketplace.quality.consensus.engine import AnswerRow, TaskConsensus
from marketplace.quality.consensus.shapes.existence import Sightings, fit_existence
from marketplace.quality.consensus.shapes.kind import ShapesModel
from marketplace.quality.consensus.shapes.middle import geometric_median, middle_shape
from marketplace.quality.geometry import draw, encode_mask, overlap, read_shapes
from marketplace.quality.matching_shapes import group, paired_overlap
from marketplace.quality.spec import SAME_FROM, LabelSpec

SPEC = LabelSpec(LabelKind.IMAGE_SHAPES, ("car", "bus"), same_from=SAME_FROM[LabelKind.IMAGE_SHAPES])
MODEL = ShapesModel()


def box(x: float, y: float, width: float, height: float, label: str = "car") -> dict[str, Any]:
    return {"type": "box", "label": label, "x": x, "y": y, "width": width, "height": height}


def polygon(*points: tuple[float, float], label: str = "car") -> dict[str, Any]:
    return {"type": "polygon", "label": label, "points": [list(point) for point in points]}


def point(x: float, y: float, label: str = "car") -> dict[str, Any]:
    return {"type": "keypoint", "label": label, "x": x, "y": y}


def mask(rows: slice, columns: slice, label: str = "car") -> dict[str, Any]:
    pixels = np.zeros((20, 30), dtype=bool)
    pixels[rows, columns] = True
    return {"type": "mask", "label": label, **encode_mask(pixels)}


def by_workers(*given: list[dict[str, Any]], task: int = 1) -> list[AnswerRow]:
    return [AnswerRow(UUID(int=task), UUID(int=100 + n), {"shapes": shapes}) for n, shapes in enumerate(given)]


def consolidated(rows: list[AnswerRow], gold: dict[UUID, Any] | None = None) -> list[TaskConsensus]:
    learned = MODEL.fit(SPEC, rows, gold or {}, 0)
    return MODEL.consolidate(SPEC, rows, learned, 0)


def only(*given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    shapes: list[dict[str, Any]] = consolidated(by_workers(*given))[0].value["shapes"]
    return shapes


def test_box_is_the_median_of_each_side_when_one_is_off() -> None:
    assert only([box(0, 0, 10, 10)], [box(1, 0, 10, 10)], [box(1, 1, 10, 12)]) == [box(1, 0, 10, 10)]


def test_object_is_left_out_when_one_of_three_saw_it() -> None:
    found = consolidated(by_workers([box(0, 0, 10, 10)], [box(0, 0, 10, 10)], [box(0, 0, 10, 10), box(40, 40, 9, 9)]))
    assert found[0].value["shapes"] == [box(0, 0, 10, 10)]
    assert found[0].distribution["object 0"] > 0.9
    assert found[0].distribution["left_out"] < 0.5


def test_object_is_kept_when_two_of_three_saw_it() -> None:
    shapes = only([box(0, 0, 10, 10), box(40, 40, 9, 9)], [box(40, 40, 9, 9), box(0, 0, 10, 10)], [box(0, 0, 10, 10)])
    assert shapes == [box(0, 0, 10, 10), box(40, 40, 9, 9)]


def test_labels_are_not_mixed_when_shapes_lie_on_each_other() -> None:
    shapes = only([box(0, 0, 9, 9), box(0, 0, 9, 9, "bus")], [box(0, 0, 9, 9), box(0, 0, 9, 9, "bus")])
    assert {shape["label"] for shape in shapes} == {"car", "bus"}


def test_two_objects_stay_two_when_a_third_box_lies_half_over_both() -> None:
    shapes = read_shapes([box(0, 0, 10, 10), box(3, 0, 10, 10), box(6, 0, 10, 10)])
    assert group(shapes, [0, 1, 2]) in ([[0, 1], [2]], [[0], [1, 2]])


def test_group_takes_one_shape_of_a_worker_when_they_drew_two() -> None:
    shapes = read_shapes([box(0, 0, 10, 10), box(0, 0, 10, 10), box(0, 0, 10, 10)])
    assert sorted(map(len, group(shapes, [0, 0, 1]))) == [1, 2]


def test_polygon_is_what_most_cover_when_outlines_differ() -> None:
    square = polygon((0, 0), (10, 0), (10, 10), (0, 10))
    wide = polygon((0, 0), (12, 0), (12, 10), (0, 10))
    wider = polygon((0, 0), (14, 0), (14, 10), (0, 10))
    middle = read_shapes(only([square], [wide], [wider]))[0]
    assert middle.outline.area == pytest.approx(120)


def test_polygon_that_crosses_itself_covers_what_it_encloses() -> None:
    bow = read_shapes([polygon((0, 0), (10, 10), (10, 0), (0, 10))])[0]
    assert bow.outline.area == pytest.approx(50)


def test_key_point_is_the_geometric_median_when_one_is_far() -> None:
    x, y = geometric_median(np.array([[0.0, 0.0], [2.0, 0.0], [1.0, 1.0], [500.0, 500.0]]), np.ones(4))
    assert math.hypot(x - 1, y - 0.7) < 0.5


def test_mask_is_the_vote_of_pixels() -> None:
    shapes = only(
        [mask(slice(0, 10), slice(0, 10))], [mask(slice(0, 10), slice(2, 10))], [mask(slice(0, 12), slice(2, 12))]
    )
    assert draw(read_shapes(shapes)[0]).sum() == 80
    assert draw(read_shapes(shapes)[0])[0:10, 2:10].all()


def test_mask_survives_its_run_lengths() -> None:
    pixels = np.random.default_rng(4).random((17, 23)) > 0.5
    shape = read_shapes([{"type": "mask", "label": "car", **encode_mask(pixels)}])[0]
    assert (draw(shape) == pixels).all()


def test_overlap_is_none_between_families_and_image_sizes() -> None:
    here = mask(slice(0, 5), slice(0, 5))
    other_size = {"type": "mask", "label": "car", **encode_mask(np.ones((5, 5), dtype=bool))}
    one, other, area = read_shapes([here, other_size, box(0, 0, 5, 5)])
    assert overlap(one, other) == 0
    assert overlap(one, area) == 0
    assert overlap(one, one) == 1


def test_pairing_is_the_best_of_all_when_greed_would_lose() -> None:
    left = read_shapes([box(0, 0, 10, 10), box(4, 0, 10, 10)])
    right = read_shapes([box(1, 0, 10, 10), box(-4, 0, 10, 10)])
    greedy = overlap(left[0], right[0]) + overlap(left[1], right[1])
    assert paired_overlap(left, right) > greedy


def crowd(seed: int = 7, tasks: int = 60) -> tuple[list[AnswerRow], dict[UUID, list[dict[str, Any]]], UUID]:
    """Four workers see nine of ten objects; a fifth draws one box where nothing is."""
    rng = np.random.default_rng(seed)
    rows, truths = [], {}
    careless = UUID(int=204)
    for number in range(tasks):
        task = UUID(int=1000 + number)
        objects = [box(float(100 * n), 0, 40, 40) for n in range(int(rng.integers(1, 5)))]
        truths[task] = objects
        for n in range(4):
            seen = [
                {**each, "x": each["x"] + float(rng.normal(0, 1)), "width": 40 + float(rng.normal(0, 1))}
                for each in objects
                if rng.random() < 0.9
            ]
            rows.append(AnswerRow(task, UUID(int=200 + n), {"shapes": seen}))
        rows.append(AnswerRow(task, careless, {"shapes": [box(float(rng.uniform(0, 900)), 300, 40, 40)]}))
    return rows, truths, careless


def test_consensus_beats_every_worker_when_objects_are_missed() -> None:
    rows, truths, _ = crowd()
    found = {each.task: each.value["shapes"] for each in consolidated(rows)}
    hits = np.mean([len(found[task]) == len(truth) for task, truth in truths.items()])
    single = np.mean([len(row.value["shapes"]) == len(truths[row.task]) for row in rows if row.worker.int < 204])
    assert hits > 0.97 > single


def test_careless_worker_is_known_when_others_agree() -> None:
    rows, _, careless = crowd()
    learned = MODEL.fit(SPEC, rows, {}, 0)
    recall, false_mark = learned.parameters["rates"][str(careless)]
    assert recall < 0.2
    assert false_mark > 0.6
    assert learned.workers[careless].high < min(s.low for w, s in learned.workers.items() if w != careless)


def test_gold_decides_when_the_crowd_is_wrong() -> None:
    rows = [row for n in range(30) for row in by_workers([box(0, 0, 9, 9)], [box(0, 0, 9, 9)], [], task=n + 1)]
    gold: dict[UUID, Any] = {UUID(int=n + 1): {"shapes": []} for n in range(30)}
    learned = MODEL.fit(SPEC, rows, gold, 0)
    assert learned.workers[UUID(int=102)].accuracy > 0.9
    assert learned.workers[UUID(int=100)].accuracy < 0.2
    assert learned.workers[UUID(int=100)].gold == 30


def test_objective_never_falls() -> None:
    rng = np.random.default_rng(1)
    objects, workers = 300, 12
    number, worker = np.meshgrid(np.arange(objects), np.arange(workers), indexing="ij")
    marked = rng.random((objects, workers)) < 0.5
    found = fit_existence(Sightings(number.ravel(), worker.ravel(), marked.ravel(), np.full(objects, -1), workers))
    steps = np.diff(found.objective)
    assert (steps >= -1e-9 * abs(found.objective[-1])).all()
    assert len(steps) > 3


def test_order_and_store_change_nothing() -> None:
    rows, _, _ = crowd(tasks=20)
    learned = MODEL.fit(SPEC, rows, {}, 0)
    backwards = MODEL.fit(SPEC, rows[::-1], {}, 0)
    assert backwards == learned
    json.dumps(learned.parameters)
    assert MODEL.consolidate(SPEC, rows[::-1], learned, 0) == MODEL.consolidate(SPEC, rows, backwards, 0)


@pytest.mark.parametrize("given", [([],), ([], []), ([box(0, 0, 5, 5)],)])
def test_task_has_a_consensus_when_there_is_little(given: tuple[list[dict[str, Any]], ...]) -> None:
    found = consolidated(by_workers(*given))[0]
    assert found.value["shapes"] == given[0]
    assert 0.5 < found.confidence <= 1


def test_nothing_comes_of_nothing() -> None:
    assert consolidated([]) == []


def test_lone_shape_is_returned_as_it_was_drawn() -> None:
    drawn = polygon((0, 0), (10, 0), (10, 5))
    assert middle_shape(read_shapes([drawn]), [0.8]) == drawn


MASKS = {"kind": "image_shapes", "shapes": ["mask"], "labels": [{"value": "car", "label": {"en": "Car"}}]}


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({}, ""),
        ({"counts": [10, 5]}, "shapes.0.counts"),
        ({"counts": [12, 0]}, "shapes.0.counts"),
        ({"size": [4, 3]}, "shapes.0.size"),
        ({"size": [20_000, 20_000]}, "shapes.0.size"),
        ({"counts": [-1, 13]}, "shapes.0.counts.0"),
    ],
)
def test_mask_is_refused_when_its_runs_do_not_fit(changed: dict[str, Any], field: str) -> None:
    shape = {"type": "mask", "label": "car", "size": [3, 4], "counts": [2, 5, 5], **changed}
    problems = make_validator(read_definition(MASKS)).problems({"shapes": [shape]}, {"width": 4, "height": 3})
    assert (problems[0].field if problems else "") == field
