# SPDX-License-Identifier: Apache-2.0
"""The model of train_step.cpp in PyTorch: python3 bench/train_torch.py [--beside train_step].

BitNet b1.58 with squared ReLU, sub-norms and a tied head, 4.01 M parameters, batches of 8 x 256
tokens, AdamW and clipping; BitLinear as its authors publish it: fake quantization with
straight-through estimation. With --beside, rounds of both alternate in one run and the best of
each are compared. Debian: python3-torch (1.13, with OpenBLAS).
"""
import argparse
import os
import re
import subprocess
import time

# OpenBLAS would otherwise use every processor, whatever PyTorch is told. More threads of its own
# beside those of PyTorch made steps slower.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402


class RMSNorm(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


class BitLinear(nn.Linear):
    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs, bias=False)
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x):
        scale = 127.0 / x.abs().max(dim=-1, keepdim=True).values.clamp(min=1e-5)
        rounded = (x * scale).round().clamp(-128, 127) / scale
        x = x + (rounded - x).detach()
        w = self.weight
        scale = 1.0 / w.abs().mean().clamp(min=1e-5)
        rounded = (w * scale).round().clamp(-1, 1) / scale
        return functional.linear(x, w + (rounded - w).detach())


def rotate(x, cos, sin):
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


class Block(nn.Module):
    def __init__(self, dim, heads, kv_heads, ffn):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = heads, kv_heads, dim // heads
        self.attn_norm, self.attn_sub_norm = RMSNorm(dim), RMSNorm(dim)
        self.ffn_norm, self.ffn_sub_norm = RMSNorm(dim), RMSNorm(ffn)
        self.q, self.o = BitLinear(dim, dim), BitLinear(dim, dim)
        self.k, self.v = (BitLinear(dim, kv_heads * self.head_dim) for _ in range(2))
        self.gate, self.up, self.down = BitLinear(dim, ffn), BitLinear(dim, ffn), BitLinear(ffn, dim)

    def forward(self, x, cos, sin, mask):
        rows, length, dim = x.shape
        n = self.attn_norm(x)
        q, k, v = (f(n).view(rows, length, -1, self.head_dim).transpose(1, 2)
                   for f in (self.q, self.k, self.v))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        k, v = (x.repeat_interleave(self.heads // self.kv_heads, dim=1) for x in (k, v))
        scores = q @ k.transpose(-1, -2) / self.head_dim ** 0.5 + mask
        a = (scores.softmax(-1) @ v).transpose(1, 2).reshape(rows, length, dim)
        x = x + self.o(self.attn_sub_norm(a))
        n = self.ffn_norm(x)
        return x + self.down(self.ffn_sub_norm(self.gate(n).relu().square() * self.up(n)))


class Model(nn.Module):
    def __init__(self, vocab, dim, layers, heads, kv_heads, ffn, length):
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        nn.init.normal_(self.embed.weight, std=0.02)
        self.blocks = nn.ModuleList(Block(dim, heads, kv_heads, ffn) for _ in range(layers))
        self.norm = RMSNorm(dim)
        half = dim // heads // 2
        angles = torch.outer(torch.arange(length), 10000.0 ** (-torch.arange(half) / half))
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())
        self.register_buffer("mask", torch.full((length, length), float("-inf")).triu(1))

    def forward(self, tokens):
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x, self.cos, self.sin, self.mask)
        return functional.linear(self.norm(x), self.embed.weight)


class Trainer:
    def __init__(self):
        torch.manual_seed(1)
        self.vocab, self.rows, self.length = 1792, 8, 256
        self.model = Model(self.vocab, dim=256, layers=6, heads=8, kv_heads=4, ffn=512,
                           length=self.length)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, betas=(0.9, 0.95),
                                           weight_decay=0.1)
        self.tokens = torch.randint(0, self.vocab, (self.rows, self.length + 1))

    def step(self):
        self.optimizer.zero_grad()
        logits = self.model(self.tokens[:, :-1])
        loss = functional.cross_entropy(logits.reshape(-1, self.vocab),
                                        self.tokens[:, 1:].reshape(-1))
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.item()

    def best_rate(self, steps):
        best = 1e9
        for _ in range(steps):
            begin = time.perf_counter()
            loss = self.step()
            best = min(best, time.perf_counter() - begin)
        print(f"PyTorch: loss {loss:.4f}; best of {steps} steps: "
              f"{self.rows * self.length / best:.0f} tokens/s", flush=True)
        return self.rows * self.length / best


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=5, help="of each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beside", metavar="PROGRAM", help="train_step, to alternate with")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    trainer = Trainer()
    size = sum(p.numel() for p in trainer.model.parameters())
    print(f"PyTorch {torch.__version__}, {size / 1e6:.2f} M parameters, {trainer.rows} x "
          f"{trainer.length} tokens, {options.threads} threads")
    torch_rate = own_rate = 0.0
    for _ in range(options.rounds):
        torch_rate = max(torch_rate, trainer.best_rate(options.steps))
        if options.beside:
            text = subprocess.run([options.beside, str(options.threads), str(options.steps)],
                                  check=True, capture_output=True, text=True).stdout
            print(text.splitlines()[-1], flush=True)
            own_rate = max(own_rate, float(re.search(r"([0-9]+) tokens/s", text)[1]))
    if options.beside:
        print(f"{own_rate:.0f} against {torch_rate:.0f} tokens/s: {own_rate / torch_rate:.2f} times")


if __name__ == "__main__":
    main()
