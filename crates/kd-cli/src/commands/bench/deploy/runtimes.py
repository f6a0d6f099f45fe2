"""Times ONNX files in ONNX Runtime and OpenVINO, as `kd bench deploy` asks for it.

The first line on standard output says which packages are there. Then each line on standard input is a request, a JSON
object {runtime, file, threads, batch, shape, seconds}, and each answer a line: {ms: [...]} or {error}. For `kd eval --onnx` a
request is {runtime, file, threads, images, shape, output}: files of little-endian floats, and the answer {written}.
"""
import json, sys, time


def version(name):
    try:
        return __import__(name).__version__
    except ImportError:
        return None


def onnxruntime(file, threads, shape):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})


def openvino(file, threads, shape):
    import openvino as ov
    options = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
    core = ov.Core()
    model = core.read_model(file)
    model.reshape(shape)
    compiled = core.compile_model(model, "CPU", options | {"INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    return lambda images: request.infer({0: images}, share_inputs=True)


def first(outputs):
    return outputs[0] if isinstance(outputs, list) else next(iter(outputs.values()))


def main():
    made = {}
    versions = {name: version(name) for name in ("onnxruntime", "openvino")}
    print(json.dumps({"versions": versions}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            import numpy as np
            if "images" in asked:
                images = np.fromfile(asked["images"], "<f4").reshape(asked["shape"])
            else:
                images = np.random.default_rng(1).random([asked["batch"], *asked["shape"]], np.float32)
            key = (asked["runtime"], asked["file"], asked["threads"], len(images))
            if key not in made:
                made[key] = globals()[asked["runtime"]](asked["file"], asked["threads"], list(images.shape))
            session, times = made[key], []
            if "images" in asked:
                logits = np.ascontiguousarray(first(session(images)), "<f4")
                logits.tofile(asked["output"])
                print(json.dumps({"written": logits.size}), flush=True)
                continue
            for _ in range(3):
                session(images)
            end = time.perf_counter() + asked["seconds"]
            while len(times) < 5 or time.perf_counter() < end:
                start = time.perf_counter()
                session(images)
                times.append(1e3 * (time.perf_counter() - start))
            answer = {"ms": times}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        print(json.dumps(answer), flush=True)


main()
