"""Where a run comes from: who ran it, from which source, with which versions, on which data."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from actsearch.search.study.config import StudyConfig, flat
from actsearch.tracking.provenance import StudyCall


def caller() -> dict[str, str]:
    """Return MLflow's own tags of this process: who runs it, and its source."""
    from mlflow.tracking.context.default_context import DefaultRunContext
    from mlflow.tracking.context.jupyter_notebook_context import JupyterNotebookRunContext

    found = DefaultRunContext().tags()
    # Elsewhere its other contexts import IPython to ask what they run in, while Matplotlib in
    # another thread may look at what of it is there.
    if "IPython" in sys.modules and (notebook := JupyterNotebookRunContext()).in_context():
        found |= notebook.tags()
    return {key: str(value) for key, value in found.items()}


def circumstances() -> dict[str, str]:
    """Return tags of what trains in this process: commit of the user's code, command, versions."""
    from mlflow.utils import git_utils, mlflow_tags

    call, script = StudyCall.begun(), Path(sys.argv[0])
    # The command's own file is the environment's, whose commit says nothing of the user's code.
    own = script.is_file() and not script.absolute().is_relative_to(sys.prefix)
    where = str(script if own else Path.cwd())
    tags = {
        mlflow_tags.MLFLOW_GIT_COMMIT: git_utils.get_git_commit(where),
        mlflow_tags.MLFLOW_GIT_BRANCH: git_utils.get_git_branch(where),
        mlflow_tags.MLFLOW_GIT_REPO_URL: git_utils.get_git_repo_url(where),
        "actsearch.command": call.command[:5000],
        "actsearch.versions": ", ".join(f"{name} {found}" for name, found in call.versions.items()),
    }
    return {key: value for key, value in tags.items() if value}


def dataset(config: StudyConfig) -> Any:
    """Return the data of a study as an input of a run: the class that loads them, its options."""
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

    part = "data" if config.data else "task"
    options = {
        key: str(value)
        for key, value in flat(config.config).items()
        if key.startswith(f"{part}.") and value is not None
    }
    name = config.data or config.task
    source = CodeDatasetSource({"class": name, **options})
    described = MetaDataset(source, name=name[:500])  # type: ignore[abstract]  # it is not
    return DatasetInput(
        Dataset(**described.to_dict()), [InputTag(MLFLOW_DATASET_CONTEXT, "training")]
    )
