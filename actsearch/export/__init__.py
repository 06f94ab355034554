"""A trained network as a file for elsewhere: ONNX, or one file of C99."""

from actsearch.export.c_check import CheckedC as CheckedC
from actsearch.export.c_check import c_compiler as c_compiler
from actsearch.export.c_check import check_c as check_c
from actsearch.export.c_source import CSource as CSource
from actsearch.export.c_source import c_source as c_source
from actsearch.export.c_source import counts_by_place as counts_by_place
from actsearch.export.c_source import write_c as write_c
from actsearch.export.onnx_file import check_onnx as check_onnx
from actsearch.export.onnx_file import write_onnx as write_onnx
