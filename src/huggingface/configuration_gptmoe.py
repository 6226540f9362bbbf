"""Configuration of a model trained by gptmoe, for Hugging Face transformers."""

from transformers import PretrainedConfig

ROUTERS = ("topk", "default", "dense", "dense_gradient", "loss_free", "remoe", "sparsemixer", "expert_threshold")


class GptmoeConfig(PretrainedConfig):
    """The keys are those of the section "model" of a run's config, and "router" is the run's router block.

    docs/config.md of gptmoe describes every key.
    """

    model_type = "gptmoe"
    keys_to_ignore_at_inference = ["past_key_values", "cache"]

    def __init__(
        self,
        vocab_size=256,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=None,
        head_dim=None,
        intermediate_size=0,
        moe_intermediate_size=0,
        num_experts=0,
        num_experts_per_tok=1,
        n_shared_experts=0,
        first_k_dense_replace=0,
        norm_topk_prob=False,
        hidden_act="silu",
        norm_type="rmsnorm",
        rms_norm_eps=1e-5,
        qk_norm=False,
        qk_norm_scope="row",
        attention_bias=False,
        rope_theta=10000.0,
        max_position_embeddings=128,
        logit_softcap=0.0,
        initializer_range=0.02,
        router=None,
        use_cache=True,
        tie_word_embeddings=False,
        **kwargs,
    ):
        router = dict(router or {"type": "topk"})
        for name, value, known in (
            ("hidden_act", hidden_act, ("silu", "gelu")),
            ("norm_type", norm_type, ("rmsnorm", "layernorm")),
            ("qk_norm_scope", qk_norm_scope, ("row", "head")),
            ("router.type", router.get("type"), ROUTERS),
            ("router.gate", router.get("gate", "softmax"), ("softmax", "sigmoid")),
        ):
            if value not in known:
                raise ValueError(f"config.json: {name} {value!r} is not one of {', '.join(known)}")
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.num_key_value_heads = num_key_value_heads or num_attention_heads
        self.head_dim = head_dim or hidden_size // num_attention_heads
        self.intermediate_size = intermediate_size
        self.moe_intermediate_size = moe_intermediate_size
        self.num_experts = num_experts
        self.num_experts_per_tok = num_experts_per_tok
        self.n_shared_experts = n_shared_experts
        self.first_k_dense_replace = first_k_dense_replace
        self.norm_topk_prob = norm_topk_prob
        self.hidden_act = hidden_act
        self.norm_type = norm_type
        self.rms_norm_eps = rms_norm_eps
        self.qk_norm = qk_norm
        self.qk_norm_scope = qk_norm_scope
        self.attention_bias = attention_bias
        self.rope_theta = rope_theta
        self.max_position_embeddings = max_position_embeddings
        self.logit_softcap = logit_softcap
        self.initializer_range = initializer_range
        self.router = router
        self.use_cache = use_cache
        super().__init__(tie_word_embeddings=tie_word_embeddings, **kwargs)
