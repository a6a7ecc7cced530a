"""The models in PyTorch, written from the equations: causal generation and nanoGPT's attention."""

import torch
from torch import nn
from torch.nn import functional


class CausalMixer(nn.Module):
    """y_t = max(x_t, x_{t-1}), y_0 = x_0, then a projection."""

    def __init__(self, width):
        super().__init__()
        self.c_proj = nn.Linear(width, width, bias=False)

    def forward(self, x):
        later = torch.maximum(x[:, 1:], x[:, :-1])
        return self.c_proj(torch.cat((x[:, :1], later), dim=1))


class AttentionMixer(nn.Module):
    """Causal softmax attention with heads."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.c_attn = nn.Linear(width, 3 * width, bias=False)
        self.c_proj = nn.Linear(width, width, bias=False)

    def forward(self, x):
        batch, length, width = x.shape
        shape = (batch, length, self.heads, width // self.heads)
        q, k, v = (part.view(shape).transpose(1, 2) for part in self.c_attn(x).chunk(3, dim=2))
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    def __init__(self, width, heads, mixer):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, bias=False)
        self.mixer = CausalMixer(width) if mixer == "causal" else AttentionMixer(width, heads)
        self.ln_2 = nn.LayerNorm(width, bias=False)
        self.c_fc = nn.Linear(width, 4 * width, bias=False)
        self.activation = nn.GELU()
        self.c_proj = nn.Linear(4 * width, width, bias=False)

    def forward(self, x):
        x = x + self.mixer(self.ln_1(x))
        return x + self.c_proj(self.activation(self.c_fc(self.ln_2(x))))


class LanguageModel(nn.Module):
    """Token and position embedding, pre-norm blocks, a head tied to the token embedding."""

    def __init__(self, setting, mixer, vocabulary=65):
        super().__init__()
        width = setting["width"]
        self.wte = nn.Embedding(vocabulary, width)
        self.wpe = nn.Embedding(setting["length"], width)
        self.blocks = nn.Sequential(
            *(Block(width, setting["heads"], mixer) for _ in range(setting["layers"]))
        )
        self.ln_f = nn.LayerNorm(width, bias=False)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, 0, 0.02)
        for name, parameter in self.named_parameters():
            if name.endswith("c_proj.weight"):
                nn.init.normal_(parameter, 0, 0.02 / (2 * setting["layers"]) ** 0.5)

    def forward(self, tokens):
        x = self.wte(tokens) + self.wpe.weight[: tokens.shape[1]]
        return self.ln_f(self.blocks(x)) @ self.wte.weight.T

    def loss(self, tokens, targets):
        return functional.cross_entropy(self(tokens).flatten(0, 1), targets.flatten())


def optimizer(model):
    """AdamW as nanoGPT's: tensors of rank 2 decay."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99))


def step(model, loss, adamw):
    """One optimizer step from a closure that gives the loss."""
    value = loss()
    adamw.zero_grad(set_to_none=True)
    value.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    adamw.step()
