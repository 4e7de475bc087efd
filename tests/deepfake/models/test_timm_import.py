"""timm without torch's compiler, and the compiler as ever afterwards."""

import re
import subprocess
import sys

import pytest

from deepfake.checkpoints.checkpoint import save_checkpoint
from deepfake.checkpoints.spec import ModelSpec
from deepfake.models.registry import build_model
from tests.data.networks import SMALL_NETWORKS

FRESH = """
import sys
import torch
before = torch.compiler.disable
from deepfake.prediction import load_predictor
from deepfake.models.registry import build_model
network = build_model("DeepFakeClassifier", encoder="test_efficientnet").eval()
assert "torch._dynamo" not in sys.modules and "torch._dynamo.utils" not in sys.modules
assert torch.compiler.disable is before
image = torch.rand(1, 3, 64, 64)
with torch.no_grad():
    assert torch.allclose(torch.compile(network, backend="eager")(image), network(image), atol=1e-6)
assert hasattr(sys.modules["torch._dynamo.utils"], "is_compile_supported")
"""

DECORATED = """
import sys
import torch
import deepfake.models.timm_import
from timm.models import naflexvit
from torchvision.ops import roi_align
box = torch.tensor([[0.0, 0.0, 0.0, 8.0, 8.0]])
assert roi_align(torch.ones(1, 1, 8, 8), box, 2).tolist() == [[[[1, 1], [1, 1]]]]
from torchvision.ops.roi_align import is_compile_supported
assert isinstance(is_compile_supported("cpu"), bool)
assert "torch._dynamo" in sys.modules
"""

IMPORTED_BEFORE = """
import torch._dynamo.utils as utils
from deepfake.models.timm_import import timm
from torchvision.ops import roi_align
import torchvision.ops
assert sys.modules["torchvision.ops.roi_align"].is_compile_supported is utils.is_compile_supported
""".replace("import torch", "import sys\nimport torch", 1)


def run(program, *arguments):
    ended = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_the_compiler_is_imported_when_it_compiles():
    run(FRESH)


SCORED = """
import sys
import torch
from deepfake.checkpoints.checkpoint import load_model
from deepfake.models.inference.prepare import for_inference
images = torch.zeros(2, 3, 64, 64)
for path in sys.argv[1:]:
    network, spec = load_model(path)
    scored = for_inference(network, "float32", images)
    with torch.inference_mode():
        scored(images)
    assert "torch._dynamo" not in sys.modules, path
"""


@pytest.mark.slow
def test_networks_are_loaded_and_run_without_the_compiler(tmp_path):
    for name, (architecture, options, output) in SMALL_NETWORKS.items():
        spec = ModelSpec(architecture, options, 64, output=output)
        save_checkpoint(tmp_path / name, build_model(architecture, **options), spec)
    run(SCORED, *(str(tmp_path / name) for name in SMALL_NETWORKS))


def test_what_timm_decorates_works_with_the_compiler():
    run(DECORATED)


def test_a_compiler_that_is_there_is_used():
    run(IMPORTED_BEFORE)


def test_nobody_else_imports_timm(project_root):
    found = [
        str(path.relative_to(project_root))
        for folder in ("deepfake", "training", "export", "visualize", "preprocessing", "serving", "federated", "bench")
        for path in (project_root / folder).rglob("*.py")
        if re.search(r"^\s*(import|from) timm\b", path.read_text(), re.MULTILINE)
    ]
    assert found == ["deepfake/models/timm_import.py"]
