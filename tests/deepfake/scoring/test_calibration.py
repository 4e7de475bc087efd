"""What a score means: the rule, its file, and whether a fit finds what was put in."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import sklearn.calibration
import sklearn.linear_model
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.special import expit

from deepfake.scoring import calibration_fit as fit
from deepfake.scoring.aggregation import FAKE_THRESHOLD, REAL_THRESHOLD
from deepfake.scoring.calibration import (
    FAKE,
    REAL,
    UNCERTAIN,
    Calibration,
    CalibrationError,
    Uncalibrated,
    calibrate_scores,
    check_models,
    model_fingerprints,
    read_calibration,
    score_logits,
    uncalibrate,
    write_calibration,
)
from deepfake.scoring.calibration_fit import (
    Sample,
    assess,
    choose_thresholds,
    cross_validate,
    fit_platt,
    fit_temperature,
)

MODELS = [
    {"name": "b", "sha256": "b" * 64, "weight": 2.0, "aggregation": "mean", "input_size": 300},
    {"name": "a", "sha256": "a" * 64, "weight": 1.0, "aggregation": "confident", "input_size": 380},
]
RECIPES = [{"detector": "mtcnn", "frames": {"count": 32}}]
GOOD = Calibration(
    temperature=2.0,
    real_below=0.25,
    fake_above=0.75,
    false_alarm_rate=0.05,
    miss_rate=0.1,
    reals=300,
    fakes=200,
    models=model_fingerprints(MODELS),
    crop_recipes=RECIPES,
    predictions={"details.json": "c" * 64},
    labels={"metadata.json": "d" * 64},
    figures={"before": {"auc": (0.9, 0.8, 0.95)}},
)

probabilities = st.floats(0, 1)
temperatures = st.floats(0.05, 20)


def overconfident(count: int, temperature: float = 2.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose logits are `temperature` times too large, and labels."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, count)
    return expit(temperature * logits), (rng.random(count) < expit(logits)).astype(int)


def sample_of(scores, labels, identities=None) -> Sample:
    return Sample.of(scores, labels, identities or [f"v{i}" for i in range(len(scores))])


# The rule.


@given(temperatures, probabilities, probabilities)
def test_a_higher_score_gives_no_lower_probability(temperature, one, other):
    rule = replace(GOOD, temperature=temperature)
    low, high = rule.apply(min(one, other)), rule.apply(max(one, other))
    assert 0 < low <= high + 1e-15 and high <= 1, "1 within rounding, at low temperatures"


@given(probabilities)
def test_temperature_1_changes_nothing_but_the_ends(score):
    assert replace(GOOD, temperature=1.0).apply(score) == pytest.approx(score, abs=1.0001e-6)


@given(temperatures, st.floats(1e-6, 0.5))
def test_real_and_fake_are_treated_alike(temperature, score):
    rule = replace(GOOD, temperature=temperature)
    assert rule.apply(score) == pytest.approx(1 - rule.apply(1 - score), abs=1e-9)


@given(temperatures, st.floats(-5, 5), probabilities, probabilities)
def test_an_intercept_keeps_the_order_and_moves_the_center(temperature, intercept, one, other):
    rule = replace(GOOD, temperature=temperature, intercept=intercept)
    assert rule.apply(min(one, other)) <= rule.apply(max(one, other)) + 1e-15
    assert rule.apply(0.5) == pytest.approx(expit(intercept))


@given(st.floats(0.5, 5), st.floats(-3, 3), st.floats(0.01, 0.99))
def test_probabilities_lead_back_to_scores(temperature, intercept, score):
    assert uncalibrate(calibrate_scores(score, temperature, intercept), temperature, intercept) == pytest.approx(
        score, rel=1e-3
    )


def test_temperature_divides_the_logit():
    assert GOOD.apply(0.9) == pytest.approx(0.75), "odds of 9 to 1 become 3 to 1"
    assert GOOD.apply(0.5) == 0.5


def test_a_score_of_1_is_not_taken_for_certain():
    assert GOOD.apply(1.0) == pytest.approx(0.999, abs=1e-4) == GOOD.apply(0.9999996)
    assert GOOD.apply(0.0) == pytest.approx(0.001, abs=1e-4)


@pytest.mark.parametrize("rule", [GOOD, Uncalibrated()])
@given(probability=probabilities)
def test_verdicts(rule, probability):
    expected = FAKE if probability > rule.fake_above else REAL if probability < rule.real_below else UNCERTAIN
    assert rule.verdict(probability) == expected


@pytest.mark.parametrize("rule", [GOOD, Uncalibrated()])
def test_a_threshold_itself_is_uncertain(rule):
    assert rule.verdict(rule.real_below) == rule.verdict(rule.fake_above) == UNCERTAIN


def test_without_a_calibration_scores_stay_and_the_source_says_so():
    rule = Uncalibrated()
    assert [rule.apply(score) for score in (0.0, 0.3, 1.0)] == [0.0, 0.3, 1.0]
    assert (rule.real_below, rule.fake_above) == (REAL_THRESHOLD, FAKE_THRESHOLD)
    assert "not calibrated" in rule.source and "first place" in rule.source
    assert "intercept" not in GOOD.source and "2, intercept -0.5, fitted" in replace(GOOD, intercept=-0.5).source
    assert "temperature 2" in GOOD.source and "300 real" in GOOD.source and "5.0%" in GOOD.source


# The file.


@given(
    temperatures, st.just(0.0) | st.floats(-20, 20), probabilities, probabilities, st.integers(1, 10**6), st.booleans()
)
def test_a_file_gives_back_what_was_written(tmp_path_factory, temperature, intercept, one, other, count, known):
    path = tmp_path_factory.getbasetemp() / "x.calibration.json"
    written = replace(
        GOOD,
        temperature=temperature,
        intercept=intercept,
        cross_validated={"temperature": 0.5, "platt": 0.4} if known else {},
        real_below=min(one, other),
        fake_above=max(one, other),
        reals=count,
        models=GOOD.models if known else None,
        crop_recipes=RECIPES if known else None,
    )
    write_calibration(path, written)
    assert read_calibration(path) == written


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format: expected 1; found 2"),
        ({"method": "platt"}, "method: expected 'temperature' with intercept 0.0; found 'platt'"),
        ({"intercept": 1.5}, "method: expected 'platt' with intercept 1.5; found 'temperature'"),
        ({"intercept": float("inf")}, "intercept: expected a finite number"),
        ({"intercept": None}, "intercept: expected a number; found None"),
        ({"cross_validated": {"platt": "low"}}, "cross_validated.platt: expected a number; found 'low'"),
        ({"bias": 1}, "bias: expected one of the keys temperature, real_below"),
        ({"temperature": 0}, "temperature: expected a number more than 0; found 0"),
        ({"temperature": True}, "temperature: expected"),
        ({"temperature": float("nan")}, "temperature: expected"),
        ({"temperature": "2"}, "temperature: expected"),
        ({"real_below": -0.1}, "real_below: expected a number from 0 to 1; found -0.1"),
        ({"fake_above": 1.5}, "fake_above: expected a number from 0 to 1; found 1.5"),
        ({"real_below": 0.9}, "real_below: expected at most fake_above, 0.75; found 0.9"),
        ({"reals": 0}, "reals: expected a whole number of 1 or more"),
        ({"fakes": 2.5}, "fakes: expected a whole number of 1 or more"),
        ({"models": []}, "models: expected a list with at least one entry, or null; found []"),
        ({"models": [{"name": "a"}]}, "models[0].sha256: expected a value; the key is missing"),
        ({"crop_recipes": ["mtcnn"]}, "crop_recipes[0]: expected a mapping; found 'mtcnn'"),
        ({"labels": {}}, "labels: expected a mapping with at least one entry"),
        ({"figures": {"before": {"auc": [0.9]}}}, "figures.before.auc: expected a list of 3 numbers; found [0.9]"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path, change, message):
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"format": 1, "method": "temperature", **asdict(GOOD), **change}))
    with pytest.raises(CalibrationError) as error:
        read_calibration(path)
    assert str(error.value).startswith(f"{path}: ") and message in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no readable calibration"), ("{", "not JSON"), ("[]", "expected a mapping"), ("{}", "format")],
)
def test_what_is_no_calibration_is_refused(tmp_path, content, message):
    path = tmp_path / "x.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CalibrationError, match=message):
        read_calibration(path)


def test_a_file_without_intercept_is_read(tmp_path):
    """As they were written before there was one."""
    path = tmp_path / "x.json"
    old = {key: value for key, value in asdict(GOOD).items() if key not in ("intercept", "cross_validated")}
    path.write_text(json.dumps({"format": 1, "method": "temperature", **old}))
    assert read_calibration(path) == GOOD and GOOD.intercept == 0


def test_a_missing_key_is_named(tmp_path):
    path = tmp_path / "x.json"
    write_calibration(path, GOOD)
    content = json.loads(path.read_text())
    del content["miss_rate"]
    path.write_text(json.dumps(content))
    with pytest.raises(CalibrationError, match="miss_rate: expected a value; the key is missing"):
        read_calibration(path)


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(CalibrationError, match=r"ends in \.json"):
        write_calibration(tmp_path / "x.yaml", GOOD)


# For which models.


def test_the_same_models_in_any_order_and_scale_of_weights():
    check_models(GOOD, MODELS, RECIPES)
    check_models(GOOD, [{**m, "weight": m["weight"] / 7} for m in reversed(MODELS)])
    check_models(replace(GOOD, models=None, crop_recipes=None), [{**MODELS[0], "name": "other"}], RECIPES)


@pytest.mark.parametrize(
    ("models", "recipes", "message"),
    [
        (MODELS[:1], RECIPES, "is for scores of a, b; these are of b"),
        ([MODELS[0], {**MODELS[1], "name": "c"}], RECIPES, "these are of b, c"),
        ([MODELS[0], {**MODELS[1], "sha256": "e" * 64}], RECIPES, "for a with sha256 aaa"),
        ([MODELS[0], {**MODELS[1], "weight": 3.0}], RECIPES, "with weight"),
        ([MODELS[0], {**MODELS[1], "aggregation": "mean"}], RECIPES, "with aggregation confident; here it has mean"),
        (MODELS, [{**RECIPES[0], "frames": {"count": 8}}], 'here by {"detector": "mtcnn", "frames": {"count": 8}}'),
    ],
)
def test_other_models_are_refused(models, recipes, message):
    with pytest.raises(CalibrationError) as error:
        check_models(GOOD, models, recipes)
    assert message in str(error.value)


# The fit.


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_found(temperature):
    assert fit_temperature(*overconfident(20_000, temperature)) == pytest.approx(temperature, rel=0.05)


def test_the_temperature_is_that_of_scikit_learn():
    theirs = getattr(sklearn.calibration, "_TemperatureScaling", None)
    if theirs is None:
        pytest.skip("this scikit-learn has no temperature scaling")
    scores, labels = overconfident(500)
    logits = score_logits(scores)
    found = theirs().fit(np.stack([-logits / 2, logits / 2], axis=1), labels)
    assert fit_temperature(scores, labels) == pytest.approx(1 / found.beta_, rel=1e-4)


def test_a_video_that_counts_twice_is_two():
    scores, labels = overconfident(300)
    weights = np.random.default_rng(0).integers(0, 4, 300)
    repeated = fit_temperature(np.repeat(scores, weights), np.repeat(labels, weights))
    assert fit_temperature(scores, labels, weights.astype(float)) == pytest.approx(repeated, rel=1e-5)


def test_scores_that_part_the_labels_are_left_as_they_are():
    assert fit_temperature(np.array([0.1, 0.4, 0.6, 0.9]), np.array([0, 0, 1, 1])) == 1.0
    assert fit_temperature(np.array([0.0, 0.4, 0.6, 1.0]), np.array([0, 1, 0, 1])) > 1.0


def shifted(count: int, temperature: float, intercept: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores that this temperature and intercept turn into probabilities, and labels."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, count)
    return expit(temperature * (logits - intercept)), (rng.random(count) < expit(logits)).astype(int)


@pytest.mark.parametrize(("temperature", "intercept"), [(0.5, 1.0), (2.5, -0.7), (1.0, 0.0)])
def test_a_known_intercept_is_found(temperature, intercept):
    found = fit_platt(*shifted(20_000, temperature, intercept))
    assert found == (pytest.approx(temperature, rel=0.05), pytest.approx(intercept, abs=0.05))


def test_platt_is_logistic_regression():
    """But for Platt's targets, which hardly differ where videos are many."""
    scores, labels = shifted(5000, 1.7, 0.8)
    theirs = sklearn.linear_model.LogisticRegression(C=1e6, tol=1e-8).fit(score_logits(scores)[:, None], labels)
    temperature, intercept = fit_platt(scores, labels)
    assert (1 / temperature, intercept) == pytest.approx((theirs.coef_[0, 0], theirs.intercept_[0]), rel=5e-3)


def test_a_video_that_counts_twice_is_two_for_platt():
    scores, labels = shifted(300, 1.5, 0.5)
    weights = np.random.default_rng(0).integers(0, 4, 300)
    repeated = fit_platt(np.repeat(scores, weights), np.repeat(labels, weights))
    assert fit_platt(scores, labels, weights.astype(float)) == pytest.approx(repeated, rel=1e-3)


def test_scores_that_part_the_labels_elsewhere_have_a_bounded_fit():
    temperature, intercept = fit_platt(np.array([0.05, 0.1, 0.2, 0.3]), np.array([0, 0, 1, 1]))
    assert 0.05 < temperature < 20 and 0 < intercept < 20


@pytest.mark.parametrize(
    ("intercept", "count", "method"), [(1.0, 200, "platt"), (-1.5, 100, "platt"), (0.0, 200, "temperature")]
)
def test_cross_validation_chooses_whether_there_is_an_intercept(intercept, count, method):
    found = assess(sample_of(*shifted(count, 2.0, intercept)), resamples=40)
    assert found.method == method == found.choice.method and set(found.choice.losses) == {"temperature", "platt"}
    assert found.temperature.value == pytest.approx(2.0, rel=0.5)
    assert found.figures[fit.UNSEEN]["log_loss"].value == pytest.approx(found.choice.losses[method])
    if method == "platt":
        assert found.intercept.value == pytest.approx(intercept, abs=0.7)
        assert found.choice.losses["platt"] < found.choice.losses["temperature"] - found.choice.error
        assert found.intercept.low < intercept < found.intercept.high
    else:
        assert (found.intercept.value, found.intercept.low, found.intercept.high) == (0, 0, 0)
    assert np.allclose(
        found.probabilities[fit.FITTED],
        calibrate_scores(found.probabilities[fit.BEFORE], found.temperature.value, found.intercept.value),
    )


def test_the_simpler_method_wins_ties():
    assert fit.Choice({"temperature": 0.5, "platt": 0.5}, 0.0).method == "temperature"
    assert fit.Choice({"temperature": 0.5, "platt": 0.49}, 0.02).method == "temperature"
    assert fit.Choice({"temperature": 0.5, "platt": 0.47}, 0.02).method == "platt"


def test_the_error_of_the_gain_counts_groups():
    """Ten copies of a video under one original tell no more than one."""
    scores, labels = shifted(60, 1.0, 1.0)
    once = sample_of(scores, labels)
    copies = sample_of(np.tile(scores, 10), np.tile(labels, 10), [f"v{i}" for i in range(60)] * 10)
    unseen = {"temperature": scores, "platt": calibrate_scores(scores, 1.0, 1.0)}
    error = fit.compare_methods(once, unseen).error
    assert fit.compare_methods(copies, {k: np.tile(v, 10) for k, v in unseen.items()}).error == pytest.approx(error)
    gains = (np.log(unseen["platt"]), np.log(1 - unseen["platt"]))
    gains = np.where(labels == 1, gains[0] - np.log(scores), gains[1] - np.log(1 - scores))
    assert error == pytest.approx(gains.std(ddof=1) / np.sqrt(60))


@pytest.mark.parametrize(("labels", "has_auc"), [([0, 1, 1], True), ([1, 1, 1], False), ([0, 0, 0], False)])
def test_scores_of_any_videos_have_figures(labels, has_auc):
    figures = fit.measure_scores(sample_of([0.2, 0.6, 0.7], labels), resamples=5)[fit.BEFORE]
    assert np.isfinite([figures[name].value for name in ("log_loss", "brier", "ece")]).all()
    assert np.isfinite(figures["auc"].value) == has_auc
    with pytest.raises(CalibrationError, match="no video with score and label"):
        fit.measure_scores(sample_of([], []), resamples=5)


@pytest.mark.parametrize("label", [0, 1])
def test_one_label_has_no_temperature(label):
    with pytest.raises(CalibrationError, match="only real or only fake"):
        fit_temperature(np.array([0.1, 0.9]), np.array([label, label]))


def test_swapped_labels_are_reported():
    scores, labels = overconfident(200)
    with pytest.raises(CalibrationError, match="1 for fake"):
        assess(sample_of(scores, 1 - labels), resamples=2)


@pytest.mark.parametrize(
    ("reals", "fakes", "message"),
    [(4, 9, "4 real videos with score and label, of 4 originals; at least 5"), (9, 0, "0 fake videos")],
)
def test_too_few_videos_are_reported(reals, fakes, message):
    with pytest.raises(CalibrationError, match=message):
        sample_of([0.5] * (reals + fakes), [0] * reals + [1] * fakes).check()


def test_many_fakes_of_few_originals_are_too_few():
    with pytest.raises(CalibrationError, match="40 fake videos with score and label, of 2 originals"):
        sample_of([0.5] * 50, [0] * 10 + [1] * 40, [f"r{i}" for i in range(10)] + ["a", "b"] * 20).check()


def test_each_video_is_judged_by_fits_that_saw_nothing_of_its_original():
    scores, labels = overconfident(120)
    sample = sample_of(scores, labels, [f"o{i // 3}" for i in range(120)])
    asked = []

    def spy(seen, known):
        def apply(unseen):
            asked.append((set(seen), set(unseen)))
            return unseen

        assert len(set(known)) == 2
        return apply

    assert np.array_equal(cross_validate(sample, spy), sample.scores)
    of = dict(zip(sample.scores, sample.groups))
    assert len(asked) == fit.FOLDS
    for seen, unseen in asked:
        assert not {of[score] for score in seen} & {of[score] for score in unseen}


def test_calibration_mends_unseen_videos_and_leaves_the_auc():
    scores, labels = overconfident(1500)
    found = assess(sample_of(scores, labels), resamples=20)
    figures = found.figures
    assert found.temperature.low < 2.5 < found.temperature.high
    assert figures[fit.FITTED]["auc"].value == pytest.approx(figures[fit.BEFORE]["auc"].value, abs=1e-6)
    for metric in ("log_loss", "brier", "ece"):
        assert figures[fit.UNSEEN][metric].value < figures[fit.BEFORE][metric].value
        assert figures[fit.CHANGE][metric].high < 0
        difference = figures[fit.UNSEEN][metric].value - figures[fit.BEFORE][metric].value
        assert figures[fit.CHANGE][metric].value == pytest.approx(difference)
    assert np.allclose(found.probabilities[fit.FITTED], calibrate_scores(scores, found.temperature.value))
    assert figures[fit.ISOTONIC]["ece"].value < figures[fit.BEFORE]["ece"].value
    others, known = overconfident(1500, seed=1)
    judged = [Calibration(**{**asdict(GOOD), "temperature": found.temperature.value}).apply(score) for score in others]
    assert np.mean((np.array(judged) - known) ** 2) < np.mean((others - known) ** 2)


def test_isotonic_regression_is_not_measured_on_what_it_has_seen():
    """Labels that are chance: only a fit that has seen them seems to know them."""
    rng = np.random.default_rng(5)
    scores, labels = rng.random(200), rng.integers(0, 2, 200)
    sample = sample_of(scores, labels)
    seen = fit.by_isotonic(scores, labels)(scores)
    unseen = cross_validate(sample, fit.by_isotonic)
    assert np.mean((seen - labels) ** 2) < 0.25 < np.mean((unseen - labels) ** 2)


def test_the_same_seed_gives_the_same_figures():
    sample = sample_of(*overconfident(100))
    one, same, other = (assess(sample, resamples=10, seed=seed).figures for seed in (1, 1, 2))
    assert one == same != other


# Thresholds.

rates = st.sampled_from([0.0, 0.01, 0.05, 0.29, 0.5, 0.9])
scored = st.lists(
    st.tuples(st.sampled_from(np.linspace(0, 1, 12).tolist()), st.integers(0, 1)), min_size=2, max_size=60
)


@given(scored, rates, rates)
def test_thresholds_meet_their_rates_and_no_bolder_ones_do(videos, false_alarm_rate, miss_rate):
    values, labels = np.array([v for v, _ in videos]), np.array([label for _, label in videos])
    assume(len(set(labels)) == 2)
    found = choose_thresholds(values, labels, false_alarm_rate, miss_rate)
    rule = replace(GOOD, real_below=found.real_below, fake_above=found.fake_above)
    verdicts = np.array([rule.verdict(value) for value in values])
    counted = {
        (name, label): int(((verdicts == name) & (labels == label)).sum()) for name in (FAKE, REAL) for label in (0, 1)
    }
    assert found.real_below <= found.fake_above
    assert counted[FAKE, 0] == found.false_alarms.count <= false_alarm_rate * found.false_alarms.of + 1e-9
    assert counted[REAL, 1] == found.misses.count <= miss_rate * found.misses.of + 1e-9
    assert counted[FAKE, 1] == found.caught.count and counted[REAL, 0] == found.cleared.count
    if found.real_below < found.fake_above:
        reals, fakes = values[labels == 0], values[labels == 1]
        assert (reals > found.fake_above - 1e-9).sum() > false_alarm_rate * len(reals)
        assert (fakes < found.real_below + 1e-9).sum() > miss_rate * len(fakes)


def test_where_one_threshold_meets_both_rates_nothing_is_uncertain():
    values, labels = np.array([0.1, 0.2, 0.3, 0.8, 0.9, 0.95]), np.array([0, 0, 0, 1, 1, 1])
    found = choose_thresholds(values, labels, 0.05, 0.05)
    assert found.real_below == found.fake_above == 0.5
    assert (found.caught.value, found.cleared.value) == (1, 1)
    assert choose_thresholds(values / 4, labels, 0.05, 0.05).fake_above == pytest.approx(0.2), "the nearest to 0.5"


def test_a_rate_that_rounds_down_in_floats_is_met_in_full():
    values = np.linspace(0, 1, 200)
    labels = np.array([0, 1] * 100)
    assert choose_thresholds(values, labels, 0.29, 0.29).false_alarms.count == 29, "0.29 * 100 is 28.999999999999996"
