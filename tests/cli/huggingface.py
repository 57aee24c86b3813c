# SPDX-License-Identifier: Apache-2.0
"""Writes GGUF models as the Hugging Face folders that they could come from, in plain Python."""
import array
import json
import pathlib
import struct

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q",
           12: "d"}
F32, F16, BF16, I2_S, Q1_0 = 0, 1, 30, 36, 41
DTYPES = {F32: "F32", F16: "F16", BF16: "BF16"}
NAMES = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj",
         "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
         "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
         "attn_sub_norm": "self_attn.attn_sub_norm", "attn_output": "self_attn.o_proj",
         "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj",
         "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj", "ffn_sub_norm": "mlp.ffn_sub_norm"}
OLD_NAMES = {"attn_sub_norm": "self_attn.inner_attn_ln", "ffn_sub_norm": "mlp.ffn_layernorm"}
CLASSES = {"llama": "LlamaForCausalLM", "qwen3": "Qwen3ForCausalLM",
           "bitnet": "BitNetForCausalLM", "bitnet-b1.58": "BitNetForCausalLM"}
PATTERNS = {
    "llama-bpe": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
                 r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
             r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"}


class Gguf:
    """A parsed GGUF file: `meta`, and `tensors` as name -> (dims, type, bytes)."""

    def __init__(self, path):
        self.data = pathlib.Path(path).read_bytes()
        self.at = 8
        count, keys = self.take("QQ")
        self.meta = {}
        for _ in range(keys):
            key = self.string()
            self.meta[key] = self.value(*self.take("I"))
        table = []
        for _ in range(count):
            name = self.string()
            dims = self.take("Q" * self.take("I")[0])
            table.append((name, dims, *self.take("IQ")))
        start = (self.at + 31) // 32 * 32
        ends = sorted(offset for *_, offset in table) + [len(self.data) - start]
        self.tensors = {}
        for name, dims, kind, offset in table:
            end = min(e for e in ends if e > offset)
            self.tensors[name] = (dims, kind, self.data[start + offset:start + end])

    def take(self, form):
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values

    def string(self):
        size, = self.take("Q")
        self.at += size
        return self.data[self.at - size:self.at].decode()

    def value(self, kind):
        if kind == 8:
            return self.string()
        if kind == 9:
            inner, count = self.take("IQ")
            return [self.value(inner) for _ in range(count)]
        return self.take(SCALARS[kind])[0]


def product(numbers):
    out = 1
    for n in numbers:
        out *= n
    return out


def size_of(dims, kind):
    """Bytes of a tensor that mean something: behind the scale of I2_S lies padding."""
    count = product(dims)
    return {I2_S: count // 4 + 4, Q1_0: count // 128 * 18, F32: count * 4}.get(kind, count * 2)


def safetensors(tensors, metadata=None):
    """Bytes of a file with tensors name -> (dtype, shape, bytes)."""
    header, data = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def unpermuted(rows, heads):
    """Rows as Hugging Face has them, from llama's: 2i and 2i + 1 of a head become i, i + n/2."""
    if not heads:
        return rows
    n = len(rows) // heads
    return [rows[h * n + i] for h in range(heads)
            for i in [*range(0, n, 2), *range(1, n, 2)]]


def codes_of_i2_s(dims, raw):
    """Rows of codes 0, 1, 2 and the scale."""
    count = product(dims)
    codes = bytearray(count)
    for block in range(count // 128):
        for j in range(32):
            byte = raw[block * 32 + j]
            for g in range(4):
                codes[block * 128 + g * 32 + j] = byte >> (6 - 2 * g) & 3
    rows = [bytes(codes[r:r + dims[0]]) for r in range(0, count, dims[0])]
    return rows, struct.unpack_from("<f", raw, count // 4)[0]


def packed(rows):
    """Two bits a weight: row r + i * quarter in bits 2i of packed row r."""
    quarter = len(rows) // 4
    out = b""
    for r in range(quarter):
        four = [rows[r + i * quarter] for i in range(4)]
        out += bytes(a | b << 2 | c << 4 | d << 6 for a, b, c, d in zip(*four))
    return out


def floats_of_q1_0(raw):
    values = array.array("f")
    for block in range(0, len(raw) // 18 * 18, 18):
        d, = struct.unpack_from("<e", raw, block)
        values.extend(d if raw[block + 2 + j // 8] >> j % 8 & 1 else -d for j in range(128))
    return values


def source_name(name, old=False):
    top = {"token_embd.weight": "model.embed_tokens.weight", "output.weight": "lm_head.weight",
           "output_norm.weight": "model.norm.weight"}
    if name in top:
        return top[name]
    _, number, kind, suffix = name.split(".")
    known = {**NAMES, **(OLD_NAMES if old else {})}
    return f"model.layers.{number}.{known[kind]}.{suffix}"


def weights(model, ternary=None, old=False):
    """Tensors of the folder. `ternary`: multiply, divide or master, what I2_S tensors become."""
    out = {}
    meta = model.meta
    arch = meta["general.architecture"]
    for name, (dims, kind, raw) in model.tensors.items():
        heads = 0
        if arch == "llama" and ".attn_q." in name:
            heads = meta["llama.attention.head_count"]
        if arch == "llama" and ".attn_k." in name:
            heads = meta["llama.attention.head_count_kv"]
        source, shape = source_name(name, old), dims[::-1]
        if kind in DTYPES:
            size = product(dims) * (4 if kind == F32 else 2)
            row = size // shape[0]
            rows = unpermuted([raw[i:i + row] for i in range(0, size, row)], heads)
            out[source] = (DTYPES[kind], shape, b"".join(rows))
        elif kind == Q1_0:
            out[source] = ("F32", shape, floats_of_q1_0(raw).tobytes())
        elif kind == I2_S and ternary == "master":
            rows, scale = codes_of_i2_s(dims, raw)
            values = array.array("f", ((c - 1) * scale for row in unpermuted(rows, heads)
                                       for c in row))
            out[source] = ("F32", shape, values.tobytes())
        elif kind == I2_S:
            rows, scale = codes_of_i2_s(dims, raw)
            stated = scale if ternary == "multiply" else 1 / scale
            out[source] = ("U8", (shape[0] // 4, shape[1]), packed(unpermuted(rows, heads)))
            out[source + "_scale"] = ("F32", (1,), struct.pack("<f", stated))
        else:
            raise ValueError(f"{name}: type {kind}")
    return out


def config(model, ternary=None, **more):
    meta = model.meta
    arch = meta["general.architecture"]

    def key(name):
        return meta[arch + "." + name]

    out = {"architectures": [CLASSES[arch]], "hidden_size": key("embedding_length"),
           "num_hidden_layers": key("block_count"),
           "intermediate_size": key("feed_forward_length"),
           "num_attention_heads": key("attention.head_count"),
           "num_key_value_heads": key("attention.head_count_kv"),
           "head_dim": meta.get(arch + ".attention.key_length",
                                key("embedding_length") // key("attention.head_count")),
           "max_position_embeddings": key("context_length"),
           "rms_norm_eps": key("attention.layer_norm_rms_epsilon"),
           "rope_theta": meta.get(arch + ".rope.freq_base", 10000.0),
           "vocab_size": len(meta["tokenizer.ggml.tokens"]),
           "hidden_act": "relu2" if arch == "bitnet-b1.58" else "silu",
           "tie_word_embeddings": "output.weight" not in model.tensors}
    modes = {"multiply": {"linear_class": "autobitlinear", "quantization_mode": "offline"},
             "divide": {}, "master": {"linear_class": "autobitlinear",
                                      "quantization_mode": "online"}}
    if ternary:
        out["quantization_config"] = {"quant_method": "bitnet", **modes[ternary]}
    return {**out, **more}


def tokenizer_json(model, pairs=False, escape=True):
    """Text of a byte-level tokenizer.json, and tokenizer_config.json as a dictionary."""
    meta = model.meta
    tokens, types = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
    pre = meta["tokenizer.ggml.pre"]
    merges = meta["tokenizer.ggml.merges"]
    special = {i: t for i, t in enumerate(tokens) if types[i] == 3}
    out = {"version": "1.0",
           "added_tokens": [{"id": i, "content": t, "special": True, "normalized": False,
                             "single_word": False, "lstrip": False, "rstrip": False}
                            for i, t in special.items()],
           "normalizer": None,
           "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
               {"type": "Split", "pattern": {"Regex": PATTERNS[pre]}, "behavior": "Isolated",
                "invert": False},
               {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                "use_regex": False}]},
           "post_processor": None, "decoder": {"type": "ByteLevel"},
           "model": {"type": "BPE", "dropout": None, "unk_token": None,
                     "continuing_subword_prefix": None, "end_of_word_suffix": None,
                     "fuse_unk": False, "byte_fallback": False,
                     "ignore_merges": pre == "llama-bpe",
                     "vocab": {t: i for i, t in enumerate(tokens) if types[i] == 1},
                     "merges": [m.split(" ") for m in merges] if pairs else merges}}
    ids = {name: meta.get(f"tokenizer.ggml.{key}_token_id")
           for name, key in (("bos_token", "bos"), ("eos_token", "eos"), ("pad_token", "padding"))}
    settings = {name: tokens[i] if i is not None else None for name, i in ids.items()}
    settings["eos_token"] = {"content": settings["eos_token"], "lstrip": False}
    settings["add_bos_token"] = meta["tokenizer.ggml.add_bos_token"]
    if "tokenizer.chat_template" in meta:
        settings["chat_template"] = meta["tokenizer.chat_template"]
    return json.dumps(out, ensure_ascii=escape), settings


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, value):
    """A field of a protocol buffer: bytes, an int, or a float."""
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def tokenizer_model(model, model_type=2, **normalizer):
    """Bytes of a SentencePiece model."""
    meta = model.meta
    out = b""
    for text, score, kind in zip(meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.scores"],
                                 meta["tokenizer.ggml.token_type"]):
        out += field(1, field(1, text.encode()) + field(2, float(score)) + field(3, kind))
    out += field(2, field(3, model_type))
    settings = {1: b"identity", 3: 1, 4: 0, **{int(k[1:]): v for k, v in normalizer.items()}}
    return out + field(3, b"".join(field(n, v) for n, v in settings.items()))


def write_folder(folder, model, ternary=None, shards=1, old=False, pairs=False, **more):
    """The whole folder; returns its path."""
    folder.mkdir(exist_ok=True)
    tensors = weights(model, ternary, old)
    (folder / "config.json").write_text(json.dumps(config(model, ternary, **more)))
    if model.meta["tokenizer.ggml.model"] == "gpt2":
        text, settings = tokenizer_json(model, pairs)
        (folder / "tokenizer.json").write_text(text, encoding="utf-8")
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    else:
        (folder / "tokenizer.model").write_bytes(tokenizer_model(model))
    if shards == 1:
        (folder / "model.safetensors").write_bytes(safetensors(tensors, {"format": "pt"}))
        return folder
    names = sorted(tensors)
    places = {}
    for i in range(shards):
        file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        part = {n: tensors[n] for n in names[i::shards]}
        places.update({n: file for n in part})
        (folder / file).write_bytes(safetensors(part))
    index = {"metadata": {"total_size": 0}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder
