"""Archives of small graphs: `python graphs.py` writes them beside itself (numpy 2, scipy)."""

import pathlib

import numpy as np
from scipy.sparse import csr_matrix

HERE = pathlib.Path(__file__).parent
LABELS = np.array([1, 0, 2, 1])
EDGES = np.array([[0, 1], [1, 0], [1, 3], [2, 2]])
FEATURES = np.array([[0, 2, 0], [0.5, 0, 0], [0, 0, 0], [1, 0, -1.5]], dtype=np.float32)

adjacency = csr_matrix((np.ones(len(EDGES)), (EDGES[:, 0], EDGES[:, 1])), shape=(4, 4))
attributes = csr_matrix(FEATURES)


def save(name, **arrays):
    np.savez_compressed(HERE / name, **arrays)


save(
    "sparse",
    adj_data=adjacency.data,
    adj_indices=adjacency.indices,
    adj_indptr=adjacency.indptr,
    adj_shape=adjacency.shape,
    attr_data=attributes.data,
    attr_indices=attributes.indices,
    attr_indptr=attributes.indptr,
    attr_shape=attributes.shape,
    labels=LABELS,
    class_names=np.array(["a", "b", "c"], dtype=object),
)
save("dense", edges=EDGES, features=FEATURES.astype(np.float64), labels=LABELS.astype(np.uint8))
save("columns", edges=np.ascontiguousarray(EDGES.T).astype(np.int32), attr_matrix=FEATURES, labels=LABELS.astype(np.int16))
save("outside", edges=np.vstack([EDGES, [[0, 9]]]), features=FEATURES, labels=LABELS)
save("objects", edges=EDGES, features=FEATURES, labels=LABELS.astype(object))
save("missing", features=FEATURES, labels=LABELS)
save("order", edges=EDGES, features=np.asfortranarray(FEATURES), labels=LABELS)
save("unlike", edges=EDGES, features=FEATURES[:3], labels=LABELS)
save("unlabelled", edges=EDGES, features=FEATURES, labels=np.array([1, 0, -1, 1]))
save("gaps", edges=EDGES, features=FEATURES, labels=np.array([10, 0, 90, 10]))
save("infinite", edges=EDGES, features=np.where(FEATURES == 2, np.inf, FEATURES), labels=LABELS)
np.save(HERE / "bare.npy", LABELS)
