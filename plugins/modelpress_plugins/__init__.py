"""The plugins that come with modelpress. Each is found through its entry point, as anyone's would be."""

import os

# The wheels of onnxruntime (1.32) and onnxruntime-genai (0.18) for Linux tell their maker of each import, by
# whatever proxy there is; what is set before that keeps them from it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
