"""Milliseconds of a training step of the causal model in JAX; prints one JSON object.

jax_peer.py JSON
"""

import json
import sys
import time

import jax
import jax.numpy as jnp

import timing


def layer_norm(x, gain):
    centered = x - x.mean(-1, keepdims=True)
    return centered * jax.lax.rsqrt((centered**2).mean(-1, keepdims=True) + 1e-5) * gain


def loss(parameters, tokens, targets):
    x = parameters["wte"][tokens] + parameters["wpe"]
    for block in parameters["blocks"]:
        u = layer_norm(x, block["ln_1"])
        u = jnp.concatenate((u[:, :1], jnp.maximum(u[:, 1:], u[:, :-1])), axis=1)
        x = x + u @ block["proj"]
        u = jax.nn.gelu(layer_norm(x, block["ln_2"]) @ block["fc"], approximate=False)
        x = x + u @ block["mlp_proj"]
    logits = layer_norm(x, parameters["ln_f"]) @ parameters["wte"].T
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), targets[..., None], -1)
    return -chosen.mean()


def adamw(parameter, gradient, first, second, count):
    first = 0.9 * first + 0.1 * gradient
    second = 0.99 * second + 0.01 * gradient**2
    direction = first / (1 - 0.9**count) / (jnp.sqrt(second / (1 - 0.99**count)) + 1e-8)
    decay = 0.1 if parameter.ndim >= 2 else 0.0
    return parameter - 1e-3 * (direction + decay * parameter), first, second


@jax.jit
def step(state, count, tokens, targets):
    parameters, first, second = state
    value, gradients = jax.value_and_grad(loss)(parameters, tokens, targets)
    leaves, tree = jax.tree_util.tree_flatten(parameters)
    flat = [jax.tree_util.tree_leaves(part) for part in (gradients, first, second)]
    norm = jnp.sqrt(sum((gradient**2).sum() for gradient in flat[0]))
    scale = jnp.minimum(1.0, 1.0 / (norm + 1e-6))
    updated = [
        adamw(p, g * scale, m, v, count) for p, g, m, v in zip(leaves, flat[0], flat[1], flat[2])
    ]
    return [jax.tree_util.tree_unflatten(tree, part) for part in zip(*updated)], value


def main(setting):
    width, length = setting["width"], setting["length"]
    keys = iter(jax.random.split(jax.random.PRNGKey(0), 2 + 3 * setting["layers"]))

    def matrix(*shape):
        return 0.02 * jax.random.normal(next(keys), shape)

    parameters = {
        "wte": matrix(65, width), "wpe": matrix(length, width), "ln_f": jnp.ones(width),
        "blocks": [
            {
                "ln_1": jnp.ones(width), "ln_2": jnp.ones(width), "proj": matrix(width, width),
                "fc": matrix(width, 4 * width), "mlp_proj": matrix(4 * width, width),
            }
            for _ in range(setting["layers"])
        ],
    }
    zeros = jax.tree_util.tree_map(jnp.zeros_like, parameters)
    state = [parameters, zeros, zeros]
    tokens = jax.random.randint(jax.random.PRNGKey(1), (setting["batch"], length + 1), 0, 65)
    times = []
    for index in range(setting["warm_up"] + setting["steps"]):
        start = time.perf_counter()
        state, value = step(state, index + 1.0, tokens[:, :-1], tokens[:, 1:])
        value.block_until_ready()
        jax.block_until_ready(state)
        if index >= setting["warm_up"]:
            times.append(time.perf_counter() - start)
    print(json.dumps({"ms": 1e3 * timing.median(times)}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
