"""Peak memory of the weighted cross-entropy, forward and backward, in units of its logits: `python -m benchmarks.loss`.

Logits and their gradient alone make 2. Each loss runs in a process of its own, twice: once for all that only the first
call needs, on little, then with the peak forgotten.
"""

import sys

import numpy as np

from benchmarks import bench

TITLE = "Memory of the loss, forward and backward"
SIZE, QUICK_SIZE = (16, 128, 128, 112), (2, 32, 32, 112)


def measure(arguments):
    """Returns the rows of the table."""
    size = QUICK_SIZE if arguments.quick else SIZE
    names = {
        "hard": f"rainbownet, hard targets, logits {'x'.join(map(str, size))}",
        "soft": "rainbownet, soft targets of 5 buckets",
        "dense": "Keras, dense one-hot targets",
    }
    rows = []
    for compiler in ("graph",) if arguments.quick else ("graph", "XLA"):
        for name, what in names.items():
            _, output = bench.child("-m", "benchmarks.loss", "--child", name, compiler, *size)
            # Small arrays drown in what else is allocated.
            limit = None if arguments.quick or name == "dense" else ("<=", 2.5)
            rows.append(bench.Row(f"{compiler}: {what}", float(output.splitlines()[-1]), "times the logits", limit))
    return rows


def _child(name, compiler, *size):
    import keras
    import tensorflow as tf

    from rainbownet.losses import WeightedCrossentropy

    buckets = size[-1]
    rng = np.random.default_rng(0)
    weights = rng.uniform(0.5, 2, buckets).astype("float32")
    loss = WeightedCrossentropy(weights)
    if name == "dense":
        keras_loss = keras.losses.CategoricalCrossentropy(from_logits=True)

        def loss(y, logits):
            return keras_loss(tf.one_hot(y, buckets), logits, sample_weight=tf.gather(weights, y))

    @tf.function(jit_compile=compiler == "XLA")
    def gradient(targets, logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = loss(targets, logits)
        return value, tape.gradient(value, logits)

    def run(*size):
        targets = tf.constant(rng.integers(0, buckets, size[:-1]), "int32")
        if name == "soft":
            nearest = (targets[..., None] + tf.range(5)) % buckets
            targets = tf.stack([tf.cast(nearest, "float32"), tf.fill(nearest.shape, 0.2)], axis=-1)
        gradient(targets, tf.zeros(size))

    run(1, 8, 8, buckets)
    before = bench.memory()
    bench.forget_peak_memory()
    run(*size)
    print((bench.peak_memory() - before) / (4 * np.prod(size)))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        _child(*sys.argv[2:4], *map(int, sys.argv[4:]))
    else:
        bench.main(TITLE, measure)
