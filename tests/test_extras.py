import json
import sys

import pytest

from hf_hyperbolic.extras import need


def test_a_module_that_is_there():
    assert need("json", "onnx") is json


@pytest.mark.parametrize("module", ["onnxruntime", "onnxruntime.quantization"])
def test_one_that_is_not(module, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "onnxruntime.quantization", raising=False)
    with pytest.raises(ImportError, match=r'onnxruntime is not installed: pip install "hf-hyperbolic\[onnx\]"'):
        need(module, "onnx")
