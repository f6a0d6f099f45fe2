"""Loads every folder that `kd` exports in the program that it is for, and compares logits.

`cargo xtask verify-folders` starts it. Each network has weights of a formula; the example `folders` of kd-models
writes its folders and the logits that it gives. A folder has to load strictly: no tensor missing, none left over.
"""

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import safetensors.torch
import timm
import torch
import torchvision
import transformers

# Of the largest logit.
TOLERANCE = 1e-4
PROGRAMS = {"hf": transformers, "timm": timm, "torchvision": torchvision}


def exporter(*arguments):
    command = ["cargo", "run", "--quiet", "--package", "kd-models", "--example", "folders", "--", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def close(one, other):
    return len(one) == len(other) and all(abs(a - b) < 1e-6 for a, b in zip(one, other))


def hf(folder, images):
    name = json.loads((folder / "config.json").read_text())["architectures"][0]
    network, report = getattr(transformers, name).from_pretrained(folder, output_loading_info=True)
    wrong = {key: found for key, found in report.items() if found}
    assert not wrong, wrong
    names = [network.config.id2label[label] for label in range(images["classes"])]
    assert names == [f"class {label}" for label in range(len(names))], names
    prepared = transformers.AutoImageProcessor.from_pretrained(folder)
    assert close(prepared.image_mean, images["mean"]) and close(prepared.image_std, images["std"]), prepared
    image = torch.zeros(3, 300, 400, dtype=torch.uint8)
    pixels = prepared(image, return_tensors="pt")["pixel_values"]
    assert pixels.shape[2:] == images["input"].shape[2:], pixels.shape
    return network.eval()(pixel_values=images["input"]).logits


def in_timm(folder, images):
    network = timm.create_model(f"local-dir:{folder}", pretrained=True)
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    network.load_state_dict(tensors, strict=True)
    config = timm.data.resolve_model_data_config(network)
    assert close(config["mean"], images["mean"]) and close(config["std"], images["std"]), config
    assert list(config["input_size"]) == list(images["input"].shape[1:]) and config["crop_pct"] == 0.875, config
    # The weights that `create_model` has loaded, not those of the strict check.
    network = timm.create_model(f"local-dir:{folder}", pretrained=True)
    return network.eval()(images["input"])


def in_torchvision(folder, images):
    lines = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S)[1]
    known = {}
    exec(lines.replace("model.safetensors", str(folder / "model.safetensors")), known)
    return known["network"](images["input"])


LOADERS = {"hf": hf, "timm": in_timm, "torchvision": in_torchvision}


def verify(model):
    """The largest difference by program, and the largest logit."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch) / model
        exporter(model, str(folder))
        expected = safetensors.torch.load_file(folder / "expected.safetensors")
        images = {
            "input": expected["images"],
            "classes": expected["logits"].shape[1],
            "mean": [0.49, 0.48, 0.45],
            "std": [0.25, 0.24, 0.26],
        }
        found = {}
        for program, load in LOADERS.items():
            if (folder / program).is_dir():
                with torch.no_grad():
                    logits = load(folder / program, images)
                found[program] = (logits - expected["logits"]).abs().max().item()
                shutil.rmtree(folder / program)
        return found, expected["logits"].abs().max().item(), images["input"].shape[-1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="")
    parser.add_argument("--write", type=pathlib.Path)
    arguments = parser.parse_args()
    rows, without, failed = [], [], []
    for model in exporter().split():
        if arguments.only not in model:
            continue
        try:
            found, largest, size = verify(model)
        except Exception as error:
            failed.append(f"{model}: {type(error).__name__}: {error}")
            print(failed[-1], file=sys.stderr)
            continue
        if not found:
            without.append(model)
            continue
        wrong = [p for p, difference in found.items() if not difference <= TOLERANCE * largest]
        failed += [f"{model} in {program}: {found[program]:.1e} of {largest:.2f}" for program in wrong]
        cells = [f"{found[program]:.1e}" if program in found else "" for program in LOADERS]
        rows.append(f"| `{model}` | {size} | {largest:.2f} | " + " | ".join(cells) + " |")
        print(rows[-1], flush=True)
    versions = ", ".join(f"{module.__name__} {module.__version__}" for module in (torch, *PROGRAMS.values()))
    print(f"{versions}; {len(rows)} networks, {len(without)} that no program has, {len(failed)} failed")
    print("\n".join(failed))
    if arguments.write and not failed:
        write(arguments.write, rows, without, versions)
    return 1 if failed or not rows else 0


def write(page, rows, without, versions):
    start, end = "<!-- table: cargo xtask verify-folders -->\n", "<!-- end of the table -->\n"
    text = page.read_text()
    before, rest = text.split(start)
    _, after = rest.split(end)
    head = "| network | pixels | largest logit | transformers | timm | torchvision |\n| --- | ---: | ---: | ---: | ---: | ---: |\n"
    others = ", ".join(f"`{name}`" for name in without)
    table = f"With {versions}:\n\n{head}" + "\n".join(rows)
    table += f"\n\nNo program has {others}.\n"
    page.write_text(before + start + "\n" + table + "\n" + end + after)


if __name__ == "__main__":
    sys.exit(main())
