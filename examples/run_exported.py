"""Run a file of `adabm export` without adabm: python run_exported.py MODEL.zip PICTURE.npy OUTPUT.npy

The picture is (H, W, 3) uint8, and so is the output. Needs numpy, and openvino or onnxruntime.
"""

import json
import sys
import zipfile
from pathlib import Path

import numpy as np


def complexity(picture):  # 1000 times the mean Sobel gradient of the gray picture
    gray = np.pad(picture / 255 @ [0.299, 0.587, 0.114], 1, mode="edge")
    difference = lambda a: (a[:-2] + 2 * a[1:-1] + a[2:])[:, 2:] - (a[:-2] + 2 * a[1:-1] + a[2:])[:, :-2]
    return 1000 * (np.abs(difference(gray)).mean() + np.abs(difference(gray.T)).mean()) / 16


def upscale(path, picture):
    archive = zipfile.ZipFile(path)
    card, factor = json.loads(archive.read("card.json")), 0
    if (mapping := card["image2bit"]) is not None:
        assert mapping["complexity"] == "gradient", "another measure than the paper's"
        found = complexity(picture)
        factor = int(found > mapping["upper"]) - int(found < mapping["lower"])
    x = picture.transpose(2, 0, 1)[None].astype(np.float32) * np.float32(card["value_range"] / 255)
    if card["engine"] == "openvino":
        import openvino

        graph, constants = (archive.read(f"factor{factor:+d}.{end}") for end in ("xml", "bin"))
        model = openvino.Core().read_model(graph, openvino.Tensor(np.frombuffer(constants, np.uint8).copy()))
        if "vnni" not in Path("/proc/cpuinfo").read_text():  # sums of such a processor overflow: large weights in float
            for node in [node for node in model.get_ordered_ops() if node.get_type_name() == "Constant"]:
                if node.get_element_type() == openvino.Type.i8 and np.abs(node.data.astype(int)).max() > 64:
                    node.output(0).replace(openvino.opset13.constant(node.data.astype(np.float32)).output(0))
        y = next(iter(openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([x]).values()))
    else:
        import onnxruntime

        session = onnxruntime.InferenceSession(archive.read("model.onnx"))
        y = session.run(None, {"picture": x, "factor": np.array(factor, np.int64)})[0]
    return np.clip(np.round(y[0].transpose(1, 2, 0) * 255 / card["value_range"]), 0, 255).astype(np.uint8)


if __name__ == "__main__":
    model, source, target = sys.argv[1:]
    np.save(target, upscale(model, np.load(source)))
