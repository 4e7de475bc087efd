"""What Triton's python backend runs: the ONNX file beside it. Copied into the model repository as `model.py`.

It stands alone: the server has none of this project, only numpy and ONNX Runtime.
"""

import ctypes
from pathlib import Path
from typing import Any

_TAKEN = ctypes.c_char_p(b"used_dltensor")
_rename = ctypes.pythonapi.PyCapsule_SetName
_rename.argtypes = (ctypes.py_object, ctypes.c_char_p)


class TritonPythonModel:
    """Every input and output of the ONNX file under its own name, the requests of a batch together."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads `model.onnx`; `args` are Triton's."""
        import onnxruntime

        file = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        providers: list[Any] = ["CPUExecutionProvider"]
        if args["model_instance_kind"] == "GPU" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": args["model_instance_device_id"]}))
        self._session = onnxruntime.InferenceSession(str(file), providers=providers)
        self._inputs = [entry.name for entry in self._session.get_inputs()]
        self._outputs = [entry.name for entry in self._session.get_outputs()]

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response a request; an exception is every request's error."""
        import numpy as np
        import triton_python_backend_utils as triton

        # Through DLPack: the backend's own way between numpy and its tensors gives empty ones with numpy 2.
        given = [
            [np.from_dlpack(triton.get_input_tensor_by_name(request, name)) for name in self._inputs]
            for request in requests
        ]
        batch = {name: np.concatenate(parts) for name, parts in zip(self._inputs, zip(*given))}
        ends = np.cumsum([len(tensors[0]) for tensors in given])[:-1]
        parts = zip(*(np.split(output, ends) for output in self._session.run(self._outputs, batch)))
        return [
            triton.InferenceResponse([_tensor(triton, name, array) for name, array in zip(self._outputs, part)])
            for part in parts
        ]


def _tensor(triton: Any, name: str, array: Any) -> Any:
    capsule = array.__dlpack__()
    tensor = triton.Tensor.from_dlpack(name, capsule)
    # The backend calls a capsule that it has taken "used_dlpack". numpy does not know that name and would complain.
    _rename(capsule, _TAKEN)
    return tensor
