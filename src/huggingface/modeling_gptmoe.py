"""A model trained by gptmoe, for Hugging Face transformers.

It computes what `gptmoe eval` computes, for every router and every option of the config. In training mode the routers
work as in evaluation: default vectors, biases and thresholds do not move, and sparsemixer takes the largest logits.
docs/mathematics.md of gptmoe has the formulas. Letters: B sequences, T tokens, N = B * T, C model width, D head size,
E experts, K experts per token.
"""

import dataclasses

import torch
import torch.nn.functional as F
import transformers
from torch import nn
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from .configuration_gptmoe import GptmoeConfig

# Newer versions of transformers call past_key_values "cache".
CACHE = "cache" if "cache" in {field.name for field in dataclasses.fields(CausalLMOutputWithPast)} else "past_key_values"


class GptmoeRMSNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return wide.to(x.dtype) * self.weight


def make_norm(config):
    if config.norm_type == "rmsnorm":
        return GptmoeRMSNorm(config.hidden_size, config.rms_norm_eps)
    return nn.LayerNorm(config.hidden_size, eps=config.rms_norm_eps)


def rope_tables(config, positions, dtype):
    """Cosines and sines of shape (B, 1, T, D), for pairs (d, d + D/2)."""
    half = config.head_dim // 2
    exponents = torch.arange(half, dtype=torch.float64, device=positions.device) / half
    angles = positions[..., None].double() * config.rope_theta**-exponents
    angles = torch.cat((angles, angles), dim=-1)[:, None]
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x, tables):
    cos, sin = tables
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class GptmoeAttention(nn.Module):
    def __init__(self, config, layer):
        super().__init__()
        self.layer, self.head_dim = layer, config.head_dim
        self.groups = config.num_attention_heads // config.num_key_value_heads
        queries = config.num_attention_heads * config.head_dim
        keys = config.num_key_value_heads * config.head_dim
        bias = config.attention_bias
        self.q_proj = nn.Linear(config.hidden_size, queries, bias=bias)
        self.k_proj = nn.Linear(config.hidden_size, keys, bias=bias)
        self.v_proj = nn.Linear(config.hidden_size, keys, bias=bias)
        self.o_proj = nn.Linear(queries, config.hidden_size, bias=bias)
        self.norms_heads = config.qk_norm and config.qk_norm_scope == "head"
        if config.qk_norm:
            self.q_norm = GptmoeRMSNorm(config.head_dim if self.norms_heads else queries, config.rms_norm_eps)
            self.k_norm = GptmoeRMSNorm(config.head_dim if self.norms_heads else keys, config.rms_norm_eps)
        else:
            self.q_norm = self.k_norm = nn.Identity()

    def forward(self, x, tables, mask, cache):
        def heads(y):
            return y.view(*y.shape[:2], -1, self.head_dim).transpose(1, 2)

        if self.norms_heads:
            query, key = self.q_norm(heads(self.q_proj(x))), self.k_norm(heads(self.k_proj(x)))
        else:
            query, key = heads(self.q_norm(self.q_proj(x))), heads(self.k_norm(self.k_proj(x)))
        query, key = rotate(query, tables), rotate(key, tables)
        value = heads(self.v_proj(x))
        if cache is not None:
            key, value = cache.update(key, value, self.layer)
        key = key.repeat_interleave(self.groups, dim=1)
        value = value.repeat_interleave(self.groups, dim=1)
        y = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=mask is None)
        return self.o_proj(y.transpose(1, 2).flatten(2))


class GptmoeMLP(nn.Module):
    def __init__(self, config, width):
        super().__init__()
        self.gated = config.hidden_act == "silu"
        if self.gated:
            self.gate_proj = nn.Linear(config.hidden_size, width, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, width, bias=False)
        self.down_proj = nn.Linear(width, config.hidden_size, bias=False)

    def forward(self, x):
        if self.gated:
            return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return self.down_proj(F.gelu(self.up_proj(x), approximate="tanh"))


def largest(scores, count):
    """The `count` largest of each row, ties to the lower index."""
    return scores.sort(dim=-1, descending=True, stable=True).indices[:, :count]


class GptmoeRouter(nn.Module):
    """Computes, in f32, every expert's gate (N, E), 0 if it is not chosen, and the probabilities (N, E)."""

    def __init__(self, config):
        super().__init__()
        self.kind, self.count, self.normalise = config.router["type"], config.num_experts_per_tok, config.norm_topk_prob
        self.sigmoid = config.router.get("gate") == "sigmoid"
        self.scale = config.router.get("routed_scaling_factor", 1.0)
        self.jitter = config.router.get("jitter", 0.0)
        if self.kind == "dense":
            self.count = config.num_experts
        self.weight = nn.Parameter(torch.zeros(config.num_experts, config.hidden_size))
        if self.kind == "loss_free":
            self.register_buffer("e_score_correction_bias", torch.zeros(config.num_experts, dtype=torch.float32))
        if self.kind == "expert_threshold":
            self.register_buffer("thresholds", torch.zeros(config.num_experts, dtype=torch.float32))

    def forward(self, x):
        logits = F.linear(x.float(), self.weight.float())
        if self.kind == "remoe":
            gates = logits.relu()
            return gates, gates
        if self.kind == "expert_threshold":
            gates = logits.sigmoid() * (logits > self.thresholds.float())
            return gates, gates
        if self.kind == "sparsemixer":
            return self.sparsemixer_gates(logits), None
        probs = logits.sigmoid() if self.sigmoid else logits.softmax(-1)
        scores = probs + self.e_score_correction_bias.float() if self.kind == "loss_free" else probs
        chosen = largest(scores, self.count)
        gates = torch.zeros_like(probs).scatter(1, chosen, probs.gather(1, chosen))
        if self.normalise:
            gates = gates / gates.sum(-1, keepdim=True)
        return gates * self.scale, probs

    def sparsemixer_gates(self, logits):
        """Each round takes the largest logit; its gate is a softmax over the logits near it."""
        gates = torch.zeros_like(logits)
        left = torch.ones_like(logits, dtype=torch.bool)
        for _ in range(self.count):
            open_logits = logits.masked_fill(~left, -torch.inf)
            chosen = largest(open_logits, 1)
            top = open_logits.gather(1, chosen)
            near = top - logits <= 2 * self.jitter * torch.maximum(logits.abs(), top)
            shares = open_logits.masked_fill(~near, -torch.inf).softmax(-1)
            gates = gates.scatter(1, chosen, shares.gather(1, chosen))
            left = left.scatter(1, chosen, False)
        return gates


class GptmoeSparseMLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.gate = GptmoeRouter(config)
        self.experts = nn.ModuleList(GptmoeMLP(config, config.moe_intermediate_size) for _ in range(config.num_experts))
        self.shared_experts = None
        if config.n_shared_experts > 0:
            self.shared_experts = GptmoeMLP(config, config.n_shared_experts * config.moe_intermediate_size)
        self.fills = config.router["type"] == "default" and config.router.get("default_forward", True)
        if config.router["type"] == "default":
            vectors = torch.zeros(config.num_experts, config.hidden_size, dtype=torch.float32)
            self.register_buffer("default_vectors", vectors)

    def forward(self, x):
        x_NC = x.reshape(-1, x.shape[-1])
        gates, probs = self.gate(x_NC)
        y_NC = torch.zeros_like(x_NC, dtype=torch.float32)
        for expert, mlp in enumerate(self.experts):
            (tokens,) = gates[:, expert].nonzero(as_tuple=True)
            if len(tokens) > 0:
                rows = mlp(x_NC[tokens]).float() * gates[tokens, expert, None]
                y_NC = y_NC.index_add(0, tokens, rows)
        if self.fills:  # a chosen expert's gate is its probability, so the others' probabilities remain
            y_NC = y_NC + (probs - gates) @ self.default_vectors.float()
        y_NC = y_NC.to(x.dtype)
        if self.shared_experts is not None:
            y_NC = y_NC + self.shared_experts(x_NC)
        return y_NC.view_as(x)


class GptmoeDecoderLayer(nn.Module):
    def __init__(self, config, layer):
        super().__init__()
        self.input_layernorm = make_norm(config)
        self.self_attn = GptmoeAttention(config, layer)
        self.post_attention_layernorm = make_norm(config)
        if config.num_experts > 0 and layer >= config.first_k_dense_replace:
            self.mlp = GptmoeSparseMLP(config)
        else:
            self.mlp = GptmoeMLP(config, config.intermediate_size)

    def forward(self, x, tables, mask, cache):
        x = x + self.self_attn(self.input_layernorm(x), tables, mask, cache)
        return x + self.mlp(self.post_attention_layernorm(x))


def full_precision_names(config):
    """The routers' tensors, which stay in f32 when the model is loaded in bf16.

    Version 5 of transformers takes regular expressions that match anywhere in a name, version 4 names of modules.
    """
    if config.num_experts == 0 or config.first_k_dense_replace >= config.num_hidden_layers:
        return None
    if int(transformers.__version__.split(".")[0]) < 5:
        return ["gate"]
    return [r"mlp\.gate\.weight", r"mlp\.gate\.e_score_correction_bias", r"mlp\.gate\.thresholds", r"mlp\.default_vectors"]


class GptmoePreTrainedModel(PreTrainedModel):
    config_class = GptmoeConfig
    base_model_prefix = "model"
    _no_split_modules = ["GptmoeDecoderLayer"]
    _supports_sdpa = True

    def __init__(self, config):
        super().__init__(config)
        self._keep_in_fp32_modules_strict = full_precision_names(config)

    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, GptmoeRouter):
            nn.init.normal_(module.weight, std=self.config.initializer_range)


def visible_keys(attention_mask, past, length, device):
    """A mask (B or 1, 1, T, past + T) of the keys that each query sees; None if the usual causal mask is enough.

    If padding hides every key from a query, the query sees itself: a row without keys would give NaN, which would
    spread.
    """
    if attention_mask is not None and attention_mask.dim() == 4:
        return attention_mask
    if attention_mask is not None and bool(attention_mask.all()):
        attention_mask = None
    if attention_mask is None and past == 0:
        return None
    queries = torch.arange(past, past + length, device=device)[:, None]
    keys = torch.arange(past + length, device=device)[None]
    visible = (keys <= queries)[None]
    if attention_mask is not None:
        visible = visible & attention_mask[:, None, :].bool() | (keys == queries)
    return visible[:, None]


class GptmoeModel(GptmoePreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(GptmoeDecoderLayer(config, layer) for layer in range(config.num_hidden_layers))
        self.norm = make_norm(config)
        self.post_init()

    def get_input_embeddings(self):
        return self.embed_tokens

    def set_input_embeddings(self, value):
        self.embed_tokens = value

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        position_ids=None,
        past_key_values=None,
        inputs_embeds=None,
        use_cache=None,
        output_hidden_states=None,
        return_dict=None,
        cache=None,
        **kwargs,
    ):
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds")
        cache = cache if cache is not None else past_key_values
        if use_cache is None:
            use_cache = self.config.use_cache and not self.training
        if use_cache and cache is None:
            cache = DynamicCache()
        x = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        length, past = x.shape[1], cache.get_seq_length() if cache is not None else 0
        if position_ids is None and attention_mask is not None and attention_mask.dim() == 2:
            position_ids = (attention_mask.long().cumsum(-1) - 1).clamp(min=0)[:, -length:]
        elif position_ids is None:
            position_ids = torch.arange(past, past + length, device=x.device)[None]
        mask = visible_keys(attention_mask, past, length, x.device)
        tables = rope_tables(self.config, position_ids, x.dtype)
        states = (x,)
        for layer in self.layers:
            x = layer(x, tables, mask, cache)
            states += (x,)
        x = self.norm(x)
        states = states[:-1] + (x,) if output_hidden_states else None
        if return_dict is False:
            return tuple(value for value in (x, cache, states) if value is not None)
        return BaseModelOutputWithPast(last_hidden_state=x, hidden_states=states, **{CACHE: cache})


class GptmoeForCausalLM(GptmoePreTrainedModel, GenerationMixin):
    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}

    def __init__(self, config):
        super().__init__(config)
        self.model = GptmoeModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self):
        return self.model.embed_tokens

    def set_input_embeddings(self, value):
        self.model.embed_tokens = value

    def get_output_embeddings(self):
        return self.lm_head

    def set_output_embeddings(self, value):
        self.lm_head = value

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        position_ids=None,
        past_key_values=None,
        inputs_embeds=None,
        labels=None,
        use_cache=None,
        output_hidden_states=None,
        return_dict=None,
        logits_to_keep=0,
        cache=None,
        **kwargs,
    ):
        """With `labels` (input_ids again, -100 where a token does not count) the loss is the mean cross-entropy."""
        outputs = self.model(
            input_ids,
            attention_mask,
            position_ids,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_hidden_states=output_hidden_states,
            cache=cache if cache is not None else past_key_values,
        )
        x = outputs.last_hidden_state
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(x[:, kept])
        if self.config.logit_softcap > 0:
            logits = self.config.logit_softcap * torch.tanh(logits / self.config.logit_softcap)
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs)
        if return_dict is False:
            return tuple(value for value in (loss, logits, outputs.get(CACHE)) if value is not None)
        return CausalLMOutputWithPast(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, **{CACHE: outputs.get(CACHE)}
        )


__all__ = ["GptmoeConfig", "GptmoeForCausalLM", "GptmoeModel", "GptmoePreTrainedModel"]
