"""Parameter shapes of published architectures: the ragged lists that gradient clipping meets.

Each function returns the shapes by parameter name, in the order of the model. Run as a script, prints their
sizes.
"""

from math import prod

import numpy as np


def char_rnn(vocab=65, hidden=100):
    """Karpathy's min-char-rnn: one tanh layer over characters."""
    return {
        "Wxh": (hidden, vocab),
        "Whh": (hidden, hidden),
        "Why": (vocab, hidden),
        "bh": (hidden, 1),
        "by": (vocab, 1),
    }


def rl_mlp(observations=4, actions=2, hidden=64):
    """Actor and critic for CartPole, as in Stable-Baselines3: two tanh networks of two layers."""
    shapes = {}
    for head in ("pi", "vf"):
        shapes |= {
            f"{head}0.w": (hidden, observations),
            f"{head}0.b": (hidden,),
            f"{head}1.w": (hidden, hidden),
            f"{head}1.b": (hidden,),
        }
    return shapes | {
        "action.w": (actions, hidden),
        "action.b": (actions,),
        "value.w": (1, hidden),
        "value.b": (1,),
    }


def lenet5():
    """LeNet-5 (LeCun et al., 1998), as it is taught today."""
    weights = {
        "c1": (6, 1, 5, 5),
        "c2": (16, 6, 5, 5),
        "f1": (120, 400),
        "f2": (84, 120),
        "f3": (10, 84),
    }
    shapes = {}
    for name, shape in weights.items():
        shapes |= {f"{name}.w": shape, f"{name}.b": shape[:1]}
    return shapes


def spacy_tok2vec(width=96, rows=2000, pieces=3, tags=50):
    """The default tagger of spaCy: hashed embeddings, a maxout mixer, four convolution blocks."""
    shapes = {f"embed{i}": (rows if i == 0 else rows // 2, width) for i in range(4)}
    inputs = {"mix": 4 * width} | {f"encoder{i}": 3 * width for i in range(4)}
    for name, size in inputs.items():
        shapes |= {
            f"{name}.W": (width, pieces, size),
            f"{name}.b": (width, pieces),
            f"{name}.G": (width,),
            f"{name}.lb": (width,),
        }
    return shapes | {"softmax.W": (tags, width), "softmax.b": (tags,)}


def ptb_lstm(vocab=10_000, hidden=650, layers=2):
    """The medium LSTM for the Penn Treebank of Zaremba et al. (2014)."""
    shapes = {"embedding": (vocab, hidden)}
    for i in range(layers):
        shapes |= {f"cell{i}.kernel": (2 * hidden, 4 * hidden), f"cell{i}.bias": (4 * hidden,)}
    return shapes | {"softmax.w": (hidden, vocab), "softmax.b": (vocab,)}


def resnet50():
    """ResNet-50 (He et al., 2015) with batch normalisation."""
    shapes, channels = {}, 64

    def conv_bn(name, shape):
        shapes.update({f"{name}.w": shape, f"{name}.bn.w": shape[:1], f"{name}.bn.b": shape[:1]})

    conv_bn("stem", (64, 3, 7, 7))
    for stage, (blocks, mid) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512))):
        for block in range(blocks):
            conv_bn(f"layer{stage}.{block}.0", (mid, channels, 1, 1))
            conv_bn(f"layer{stage}.{block}.1", (mid, mid, 3, 3))
            conv_bn(f"layer{stage}.{block}.2", (4 * mid, mid, 1, 1))
            if block == 0:
                conv_bn(f"layer{stage}.0.down", (4 * mid, channels, 1, 1))
            channels = 4 * mid
    return shapes | {"fc.w": (1000, 2048), "fc.b": (1000,)}


def vit_b16(width=768):
    """ViT-B/16 (Dosovitskiy et al., 2020) for images of 224 pixels and 1000 classes."""
    embedding = {
        "cls": (1, 1, width),
        "patch.w": (width, 3, 16, 16),
        "patch.b": (width,),
        "pos": (1, 197, width),
    }
    head = {"ln.w": (width,), "ln.b": (width,), "head.w": (1000, width), "head.b": (1000,)}
    return embedding | _transformer(width) | head


def bert_base(width=768):
    """BERT-base, uncased (Devlin et al., 2018); queries, keys and values apart."""
    shapes = {
        "word": (30_522, width),
        "pos": (512, width),
        "type": (2, width),
        "ln.w": (width,),
        "ln.b": (width,),
    }
    for name, shape in _transformer(width).items():
        if "qkv" in name:
            shapes |= {name.replace("qkv", part): (width,) * len(shape) for part in "qkv"}
        else:
            shapes[name] = shape
    return shapes | {"pooler.w": (width, width), "pooler.b": (width,)}


def gpt2_small(width=768):
    """GPT-2 small (Radford et al., 2019), input and output embedding tied."""
    embedding = {"wte": (50_257, width), "wpe": (1024, width)}
    return embedding | _transformer(width) | {"ln.w": (width,), "ln.b": (width,)}


def many_tiny(count=2000):
    """2000 arrays of 1 to 64 elements: the cost per array."""
    return {f"p{i}": (1 + (i * 37) % 64,) for i in range(count)}


def _transformer(width, layers=12):
    block = {
        "ln1.w": (width,),
        "ln1.b": (width,),
        "qkv.w": (width, 3 * width),
        "qkv.b": (3 * width,),
        "out.w": (width, width),
        "out.b": (width,),
        "ln2.w": (width,),
        "ln2.b": (width,),
        "fc1.w": (width, 4 * width),
        "fc1.b": (4 * width,),
        "fc2.w": (4 * width, width),
        "fc2.b": (width,),
    }
    return {f"h{i}.{name}": shape for i in range(layers) for name, shape in block.items()}


# (arrays, parameters), as published or as counted in the models themselves.
TOTALS = {
    char_rnn: (5, 23_165),
    rl_mlp: (12, 9_155),
    lenet5: (10, 61_706),
    spacy_tok2vec: (26, 929_618),
    ptb_lstm: (7, 19_775_200),
    resnet50: (161, 25_557_032),
    vit_b16: (152, 86_567_656),
    bert_base: (199, 109_482_240),
    gpt2_small: (148, 124_439_808),
    many_tiny: (2000, 64_968),
}
WORKLOADS = {workload.__name__: workload for workload in TOTALS}


def totals(workload):
    """Return (arrays, parameters) of a workload, counted from its shapes."""
    shapes = workload().values()
    return len(shapes), sum(map(prod, shapes))


def gradients(workload, dtype=np.float32, seed=0):
    """Return random gradients of a workload's shapes: a list of arrays.

    Real gradients differ in scale from layer to layer by orders of magnitude, so each array is normally
    distributed with a scale of its own between 1e-4 and 1e-1.
    """
    rng = np.random.default_rng(seed)
    drawn = np.float64 if dtype == np.float64 else np.float32
    grads = []
    for shape in workload().values():
        grad = rng.standard_normal(shape, dtype=drawn)
        grad *= 10 ** rng.uniform(-4, -1)
        grads.append(grad.astype(dtype, copy=False))
    return grads


if __name__ == "__main__":
    for workload, expected in TOTALS.items():
        assert totals(workload) == expected, workload.__name__
        arrays, parameters = expected
        print(f"{workload.__name__:14} {arrays:5} arrays {parameters:12,} parameters")
