"""The formats that networks leave in, for help texts: plain names, without what writes them."""

from types import MappingProxyType

FORMATS: MappingProxyType[str, tuple[str, str]] = MappingProxyType(
    {
        "onnx": (".onnx", "a graph for onnxruntime and others, of any cell"),
        "pytorch": (".pytorch.safetensors", "a state dict, and the lines that load it"),
        "keras": (".keras", "a model of layers"),
        "safetensors": (".safetensors", "carrynet's own file, for 'carrynet import'"),
        "c": (".h", "one header of C99, for any cell"),
    }
)
"""How the name of a file ends, and what it is."""
