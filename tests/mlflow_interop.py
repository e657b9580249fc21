"""What other programs read of what runner exported.

    python tests/mlflow_interop.py EXPECTED.json

EXPECTED.json says what must be found, all parts optional:

    mlflow       {"root", "name", "description", "runs", "metrics", "params", "curves"}: the store,
                 the experiment in it, how many runs it has, names that every run has, and names of
                 which some run has two points or more
    parquet      {"path", "rows", "types"}: a table, its length and the types of its columns
    tensorboard  {"root", "trainings", "tags"}: a folder, how many trainings it has, and their tags

Exits with 77 and a reason where MLflow is missing; what needs pandas or TensorBoard is left out
without them.
"""

import json
import os
import pathlib
import sys

# Recent versions read file stores only when they are asked to.
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"

try:
    from mlflow.entities import ViewType
    from mlflow.tracking import MlflowClient
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)


def check_mlflow(expected: dict) -> None:
    root = pathlib.Path(expected["root"]).resolve()
    client = MlflowClient(tracking_uri=root.as_uri())
    found = [one for one in client.search_experiments() if one.name == expected["name"]]
    assert len(found) == 1, found
    experiment = client.get_experiment(found[0].experiment_id)
    assert client.get_experiment_by_name(expected["name"]).experiment_id == experiment.experiment_id
    assert experiment.lifecycle_stage == "active"
    assert experiment.tags.get("mlflow.note.content", "") == expected["description"]
    runs = client.search_runs([experiment.experiment_id], run_view_type=ViewType.ACTIVE_ONLY)
    assert len(runs) == expected["runs"], len(runs)
    longest = 0
    for run in runs:
        again = client.get_run(run.info.run_id)
        assert again.data.metrics == run.data.metrics
        assert run.info.status == "FINISHED", run.info.status
        assert 0 < run.info.start_time <= run.info.end_time, run.info
        assert run.info.run_name == run.data.tags["mlflow.runName"]
        assert len(run.data.tags["runner.stage_key"]) == 64
        for name in expected["metrics"]:
            history = client.get_metric_history(run.info.run_id, name)
            assert [point.value for point in history] == [run.data.metrics[name]], history
        for name in expected["params"]:
            assert run.data.params[name], (name, run.data.params)
        for name in expected["curves"]:
            history = client.get_metric_history(run.info.run_id, name)
            steps = [point.step for point in history]
            assert steps == sorted(set(steps)), steps
            longest = max(longest, len(steps))
        assert client.list_artifacts(run.info.run_id) == []
    assert not expected["curves"] or longest > 1, longest
    one = runs[0]
    same = client.search_runs(
        [experiment.experiment_id],
        f"params.seed = '{one.data.params['seed']}' and params.method = '{one.data.params['method']}'",
    )
    assert one.info.run_id in [run.info.run_id for run in same]
    print(f"MLflow reads {len(runs)} runs")


def check_parquet(expected: dict) -> None:
    try:
        import pyarrow.parquet
    except ImportError as error:
        print(f"left out: {error}")
        return
    table = pyarrow.parquet.read_table(expected["path"])
    assert table.num_rows == expected["rows"], table.num_rows
    types = {field.name: str(field.type) for field in table.schema}
    assert types == expected["types"], types
    try:
        import pandas
    except ImportError as error:
        print(f"left out: {error}")
        return
    frame = pandas.read_parquet(expected["path"])
    assert len(frame) == expected["rows"]
    assert set(frame["metric"]) == {"auc", "uauc", "log_loss"}
    print(f"pandas reads {len(frame)} rows")


def check_tensorboard(expected: dict) -> None:
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError as error:
        print(f"left out: {error}")
        return
    folders = sorted(pathlib.Path(expected["root"]).iterdir())
    assert len(folders) == expected["trainings"], folders
    for folder in folders:
        events = EventAccumulator(str(folder))
        events.Reload()
        assert sorted(events.Tags()["scalars"]) == expected["tags"], events.Tags()
        for tag in expected["tags"]:
            steps = [event.step for event in events.Scalars(tag)]
            assert steps and steps == sorted(set(steps)), steps
    print(f"TensorBoard reads {len(folders)} trainings")


CHECKS = {"mlflow": check_mlflow, "parquet": check_parquet, "tensorboard": check_tensorboard}

with open(sys.argv[1], encoding="utf-8") as file:
    for part, wanted in json.load(file).items():
        CHECKS[part](wanted)
