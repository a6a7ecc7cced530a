"""One measurement of PyTorch in a process of its own; prints one JSON object.

torch_peer.py step|ddp|decode|loss JSON
torch_peer.py products, which serves matrix products by MKL: see timing.serve_products
"""

import json
import os
import sys
import time

import torch

import model as peers
import timing


def batches(setting):
    """Random tokens, a new batch each time, as training has it."""
    generator = torch.Generator().manual_seed(1)
    shape = (setting["batch"], setting["length"] + 1)
    while True:
        tokens = torch.randint(65, shape, generator=generator)
        yield tokens[:, :-1], tokens[:, 1:]


def times_of_steps(setting, wrap=lambda model: model, loss_of=lambda m, x, y: m.loss(x, y)):
    """Seconds of each step, after some that do not count."""
    model = peers.LanguageModel(setting, setting["mixer"])
    adamw = peers.optimizer(model)
    trained = wrap(model)
    source = batches(setting)
    times = []
    for index in range(setting["warm_up"] + setting["steps"]):
        start = time.perf_counter()
        tokens, targets = next(source)
        peers.step(model, lambda: loss_of(trained, tokens, targets), adamw)
        if index >= setting["warm_up"]:
            times.append(time.perf_counter() - start)
    return times


def step(setting):
    torch.set_num_threads(setting["threads"])
    compiled = setting.get("compile", False)

    def loss(model, tokens, targets):
        logits = model(tokens)
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    wrap = torch.compile if compiled else (lambda model: model)
    times = times_of_steps(setting, wrap, loss)
    return {"ms": 1e3 * timing.median(times), "peak_mib": timing.peak_memory()}


class Loss(torch.nn.Module):
    """The loss as a module, as DistributedDataParallel wants it."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, tokens, targets):
        return self.model.loss(tokens, targets)


def ddp_rank(rank, setting, port, path):
    import torch.distributed as distributed

    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", rank=rank, world_size=setting["ranks"])
    own = dict(setting, batch=setting["batch"] // setting["ranks"])
    times = times_of_steps(
        own,
        lambda model: torch.nn.parallel.DistributedDataParallel(Loss(model)),
        lambda wrapped, x, y: wrapped(x, y),
    )
    if rank == 0:
        with open(path, "w") as file:
            json.dump({"ms": 1e3 * timing.median(times)}, file)
    distributed.destroy_process_group()


def ddp(setting):
    import socket
    import tempfile

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.NamedTemporaryFile() as file:
        torch.multiprocessing.spawn(
            ddp_rank, (setting, port, file.name), nprocs=setting["ranks"]
        )
        with open(file.name) as result:
            return json.load(result)


def decode(setting):
    """nanoGPT's way to sample: the whole window is computed again for every token."""
    torch.set_num_threads(1)
    model = peers.LanguageModel(setting, setting["mixer"]).eval()
    window = torch.zeros(1, setting["length"], dtype=torch.long)
    with torch.no_grad():
        for _ in range(3):
            model(window)
        start = time.perf_counter()
        for _ in range(setting["steps"]):
            model(window)
        seconds = (time.perf_counter() - start) / setting["steps"]
    return {"tokens_per_second": 1 / seconds}


def operands(rows, inputs, outputs):
    x, dy, w = (
        torch.randn(shape) for shape in ((rows, inputs), (rows, outputs), (outputs, inputs))
    )
    y, dx, dw = torch.empty_like(dy), torch.empty_like(x), torch.empty_like(w)
    return (
        lambda: torch.mm(x, w.T, out=y),
        lambda: torch.mm(dy, w, out=dx),
        lambda: torch.mm(dy.T, x, out=dw),
    )


def loss(setting):
    """Trains on a text as nanoGPT does; the seconds and the validation loss."""
    import math

    torch.set_num_threads(setting["threads"])
    torch.manual_seed(1337)
    with open(setting["text"], encoding="utf-8") as file:
        text = file.read()
    ids = {character: index for index, character in enumerate(sorted(set(text)))}
    tokens = torch.tensor([ids[character] for character in text])
    cut = int(0.9 * len(tokens))
    training, validation = tokens[:cut], tokens[cut:]
    model = peers.LanguageModel(setting, setting["mixer"], vocabulary=len(ids))
    adamw = peers.optimizer(model)
    length, steps = setting["length"], setting["steps"]

    def windows(split, starts):
        x = torch.stack([split[s : s + length] for s in starts])
        return x, torch.stack([split[s + 1 : s + 1 + length] for s in starts])

    start = time.perf_counter()
    for index in range(steps):
        decay = 0.55 + 0.45 * math.cos(math.pi * (index - 100) / max(1, steps - 100))
        rate = 1e-3 * ((index + 1) / 101 if index < 100 else decay)
        for group in adamw.param_groups:
            group["lr"] = rate
        starts = torch.randint(len(training) - length, (setting["batch"],)).tolist()
        batch = windows(training, starts)
        peers.step(model, lambda: model.loss(*batch), adamw)
    seconds = time.perf_counter() - start
    with torch.no_grad():
        starts = range(0, len(validation) - length, length)
        parts = [starts[i : i + 64] for i in range(0, len(starts), 64)]
        total = sum(model.loss(*windows(validation, part)).item() * len(part) for part in parts)
    return {"seconds": seconds, "loss": total / len(starts)}


if __name__ == "__main__":
    if sys.argv[1] == "products":
        if not torch.backends.mkl.is_available():
            raise SystemExit("torch here was built without MKL, so its products are not MKL's")
        torch.set_num_threads(1)
        timing.serve_products(operands)
    else:
        measure = {"step": step, "ddp": ddp, "decode": decode, "loss": loss}[sys.argv[1]]
        print(json.dumps(measure(json.loads(sys.argv[2]))))
