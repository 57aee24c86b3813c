# SPDX-License-Identifier: Apache-2.0
"""The model of train_bench.cpp in PyTorch, for comparison: python3 bench/train_torch.py [options].

BitNet b1.58 with squared ReLU, sub-norms and a tied head, 4.06 M parameters, batches of 8 x 256
tokens, AdamW and clipping; BitLinear as its authors publish it: fake quantization with
straight-through estimation. Debian: python3-torch (1.13, with OpenBLAS).
"""
import argparse
import time

import torch
from torch import nn
from torch.nn import functional


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
    def __init__(self, dim, heads, ffn):
        super().__init__()
        self.heads = heads
        self.attn_norm, self.attn_sub_norm = RMSNorm(dim), RMSNorm(dim)
        self.ffn_norm, self.ffn_sub_norm = RMSNorm(dim), RMSNorm(ffn)
        self.q, self.k, self.v, self.o = (BitLinear(dim, dim) for _ in range(4))
        self.gate, self.up, self.down = BitLinear(dim, ffn), BitLinear(dim, ffn), BitLinear(ffn, dim)

    def forward(self, x, cos, sin, mask):
        rows, length, dim = x.shape
        n = self.attn_norm(x)
        q, k, v = (f(n).view(rows, length, self.heads, -1).transpose(1, 2)
                   for f in (self.q, self.k, self.v))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        scores = q @ k.transpose(-1, -2) / (dim // self.heads) ** 0.5 + mask
        a = (scores.softmax(-1) @ v).transpose(1, 2).reshape(rows, length, dim)
        x = x + self.o(self.attn_sub_norm(a))
        n = self.ffn_norm(x)
        return x + self.down(self.ffn_sub_norm(self.gate(n).relu().square() * self.up(n)))


class Model(nn.Module):
    def __init__(self, vocab, dim, layers, heads, ffn, length):
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        nn.init.normal_(self.embed.weight, std=0.02)
        self.blocks = nn.ModuleList(Block(dim, heads, ffn) for _ in range(layers))
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    vocab, rows, length = 2048, 8, 256
    model = Model(vocab, dim=256, layers=5, heads=4, ffn=576, length=length)
    size = sum(p.numel() for p in model.parameters())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.5e-3, betas=(0.9, 0.95),
                                  weight_decay=0.1)
    tokens = torch.randint(0, vocab, (rows, length + 1))
    print(f"PyTorch {torch.__version__}, {size / 1e6:.2f} M parameters, {rows} x {length} tokens, "
          f"{options.threads} threads")
    best_wall = best_cpu = 1e9
    for _ in range(options.steps):
        wall, cpu = time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        logits = model(tokens[:, :-1])
        loss = functional.cross_entropy(logits.reshape(-1, vocab), tokens[:, 1:].reshape(-1))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        best_wall = min(best_wall, time.perf_counter() - wall)
        best_cpu = min(best_cpu, time.process_time() - cpu)
    count = rows * length
    print(f"loss {loss.item():.4f}; best of {options.steps} steps: {count / best_wall:.0f} tokens/s, "
          f"{count / best_cpu:.0f} tokens for each second of processor time")


if __name__ == "__main__":
    main()
