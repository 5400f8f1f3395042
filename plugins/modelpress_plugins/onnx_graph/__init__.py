"""The one home of "an ONNX graph": read without its weights, changed, and written in order.

A shared room, not a plugin: every plugin may import it. `wire` and `tensors` are light, for plans and checks;
`graph` imports onnx_ir and numpy.
"""
