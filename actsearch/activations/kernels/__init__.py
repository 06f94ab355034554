"""Autograd rules of the activations that searches train most, and what runs them.

Most activations are one line of torch; that line is all that they need. The rules are for those
with one parameter that trainings of a search spend their time in. A rule works on the input block
by block, recomputes in the backward pass, and takes the gradient of the parameter from that of the
input, where the eager formula writes and reads several tensors of the input's size.

Forward and backward of 10⁶ float32 elements, the parameter learned, one thread, torch 2.13 on a
shared machine; time as a ratio to ``F.gelu``, peak memory in sizes of the input
(``python benchmarks/activations.py --group rules``):

===============  ========  =====  ========  ==============  ===========
activation       formula   rule   compiled  formula memory  rule memory
===============  ========  =====  ========  ==============  ===========
prelu            4.6       1.0    0.8       5.0             2.3
elu              6.4       1.9    1.3       6.0             2.3
celu             7.0       2.1    1.6       8.0             2.0
clip             7.2       1.3    0.6       4.5             2.5
swish            2.4       1.9    1.0       5.0             2.3
parametric_gelu  3.1       2.2    1.6       6.0             2.0
softplus         3.7       1.9    2.3       7.0             2.0
parametric_mish  5.5       3.4    5.9       6.0             2.8
===============  ========  =====  ========  ==============  ===========

``torch.compile`` of the one-line formula is as fast or faster in six of eight. It takes seconds a
model to compile, which a long training wins back and the short trainings of a search, each in a
process of its own, do not: hence the rules. Under ``torch.compile`` a rule is compiled through by
its formula.
"""
