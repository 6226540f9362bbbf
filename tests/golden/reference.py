"""The model, its losses and its training step, written directly from the formulas.

Every expert runs on every token and masks select the results, so there is no sorting, no gathering and no hand-written
backward to get wrong: gradients come from PyTorch's autograd. It is slow by design and meant to run in float64.

Letters: B sequences, T tokens each, N = B*T, C width, L layers, H query heads, G key/value heads, D head size,
V vocabulary, E experts, K experts a token, F expert width.
"""
import fnmatch
import math

import torch


def rms_norm(x, weight, eps):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * weight


def layer_norm(x, weight, bias, eps):
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt((centred * centred).mean(-1, keepdim=True) + eps) * weight + bias


def silu(x):
    return x * torch.sigmoid(x)


def gelu_tanh(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def rope(x_BHTD, positions_BT, theta):
    """Rotates the pair (d, d + D/2) at position p by the angle p * theta^(-2d/D)."""
    D = x_BHTD.shape[-1]
    half = D // 2
    frequency = theta ** (-2.0 * torch.arange(half, dtype=x_BHTD.dtype) / D)
    angle = positions_BT[:, None, :, None].to(x_BHTD.dtype) * frequency
    a, b = x_BHTD[..., :half], x_BHTD[..., half:]
    return torch.cat((a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()), -1)


def philox(counter, key):
    """Philox4x32-10 (Salmon et al., SC 2011): maps a counter of four 32-bit words and a key of two to four words."""
    mask = 2**32 - 1
    for _ in range(10):
        a, b = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = ((b >> 32) ^ counter[1] ^ key[0], b & mask, (a >> 32) ^ counter[3] ^ key[1], a & mask)
        key = ((key[0] + 0x9E3779B9) & mask, (key[1] + 0xBB67AE85) & mask)
    return counter


def newton_schulz(u):
    """Muon's approximation of U V^T, where u = U S V^T: the polynomial a s + b s^3 + c s^5, five times, on each singular
    value s of u / |u|. It works on the singular values themselves, not on products of matrices."""
    left, s, right = torch.linalg.svd(u / (u.norm() + 1e-7), full_matrices=False)
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return left @ torch.diag(s) @ right


class Reference:
    """A model and its optimizer. `params` and `state` map tensor names to float tensors; both are updated in place.

    `state` holds the router's state: "model.layers.N.mlp.default_vectors" (E, C) of the Default router,
    "..gate.e_score_correction_bias" (E) of the loss-free one, "..gate.sampler" (2: key, position; int64) of SparseMixer,
    "..gate.thresholds" (E) and "..gate.thresholds.steps" (1) of Expert Threshold, and "model.l1_coefficient" (1) of
    ReMoE.
    """

    def __init__(self, config, params, state):
        self.config, self.m, self.r = config, config["model"], config["router"]
        self.params = {name: value.clone().requires_grad_() for name, value in params.items()}
        self.state = {name: value.clone() for name, value in state.items()}
        self.moments = {name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in params.items()}
        self.steps_done = 0
        self.clear_pending()
        # For make_golden.py, over all calls so far: the smallest margin by which an expert was chosen or not, and the
        # smallest number of tokens that an expert got.
        self.closest_choice, self.smallest_load = math.inf, math.inf

    # ---- the model ---------------------------------------------------------------------------------------------

    def norm(self, x, name):
        weight, eps = self.params[name + ".weight"], self.m["rms_norm_eps"]
        if self.m["norm_type"] == "layernorm":
            return layer_norm(x, weight, self.params[name + ".bias"], eps)
        return rms_norm(x, weight, eps)

    def project(self, x, name):
        return x @ self.params[name + ".weight"].T + self.params.get(name + ".bias", 0.0)

    def documents(self, tokens_BT):
        """Returns the number of each token's document in its sequence, and the token's position in that document."""
        data, T = self.config["data"], tokens_BT.shape[1]
        if not data.get("document_mask"):
            return torch.zeros_like(tokens_BT), torch.arange(T).expand_as(tokens_BT)
        ends_BT = (tokens_BT == data["end_of_text"]).long()
        document_BT = ends_BT.cumsum(1) - ends_BT  # an end belongs to the document before it
        earlier_BTT = (document_BT[:, :, None] == document_BT[:, None, :]).tril(-1)
        return document_BT, earlier_BTT.sum(-1)

    def attention(self, x_BTC, document_BT, positions_BT, prefix):
        B, T, _ = x_BTC.shape
        H, G, D = self.m["num_attention_heads"], self.m["num_key_value_heads"], self.m["head_dim"]
        q, k, v = (self.project(x_BTC, prefix + name) for name in ("q_proj", "k_proj", "v_proj"))
        per_head = self.m.get("qk_norm_scope") == "head"
        if per_head:  # else the norm is over all heads at once, before they are split
            q, k = q.view(B, T, H, D), k.view(B, T, G, D)
        if self.m["qk_norm"]:
            q = rms_norm(q, self.params[prefix + "q_norm.weight"], self.m["rms_norm_eps"])
            k = rms_norm(k, self.params[prefix + "k_norm.weight"], self.m["rms_norm_eps"])
        q = rope(q.view(B, T, H, D).transpose(1, 2), positions_BT, self.m["rope_theta"])
        k = rope(k.view(B, T, G, D).transpose(1, 2), positions_BT, self.m["rope_theta"])
        v = v.view(B, T, G, D).transpose(1, 2)
        # Query head h reads key/value head h // (H / G).
        k, v = k.repeat_interleave(H // G, 1), v.repeat_interleave(H // G, 1)
        scores = q @ k.transpose(-1, -2) / math.sqrt(D)
        future = torch.ones(T, T, dtype=torch.bool).triu(1)
        other_BTT = document_BT[:, :, None] != document_BT[:, None, :]
        weights = torch.softmax(scores.masked_fill(future | other_BTT[:, None], -math.inf), -1)
        return self.project((weights @ v).transpose(1, 2).reshape(B, T, H * D), prefix + "o_proj")

    def mlp(self, x, prefix):
        up = self.project(x, prefix + "up_proj")
        if self.m["hidden_act"] == "gelu":
            hidden = gelu_tanh(up)
        else:
            hidden = silu(self.project(x, prefix + "gate_proj")) * up
        return self.project(hidden, prefix + "down_proj")

    def moe(self, x_NC, prefix):
        """Returns the layer's output (N, C), its load-balancing loss and its z-loss, without their coefficients."""
        E = self.m["num_experts"]
        logits_NE = x_NC @ self.params[prefix + "gate.weight"].T
        sigmoid = self.r.get("gate", "softmax") == "sigmoid" or self.r["type"] == "expert_threshold"
        pi_NE = torch.sigmoid(logits_NE) if sigmoid else torch.softmax(logits_NE, -1)
        if self.r["type"] == "remoe":
            pi_NE = torch.relu(logits_NE)
            chosen_NE = self.live(logits_NE)
        elif self.r["type"] == "sparsemixer":
            gates_NE, chosen_NE = self.draw(logits_NE, prefix + "gate.sampler")
        elif self.r["type"] == "expert_threshold":
            chosen_NE = self.above_threshold(logits_NE.detach(), prefix + "gate.thresholds")
        else:
            bias_E = self.state.get(prefix + "gate.e_score_correction_bias", 0.0)  # from the loss-free router
            chosen_NE = self.choose(pi_NE + bias_E)
            self.loads[prefix] = self.loads.get(prefix, 0) + chosen_NE.sum(0)
        outputs_NEC = torch.stack([self.mlp(x_NC, f"{prefix}experts.{e}.") for e in range(E)], 1)

        if self.r["type"] != "sparsemixer":
            gates_NE = pi_NE * chosen_NE
        if self.m["norm_topk_prob"]:
            gates_NE = gates_NE / gates_NE.sum(-1, keepdim=True)
        gates_NE = gates_NE * self.r.get("routed_scaling_factor", 1.0)
        y_NC = torch.einsum("ne,nec->nc", gates_NE, outputs_NEC)
        if self.r["type"] == "dense_gradient":  # adds the gradient of the surrogate, but keeps TopK's value
            surrogate_NC = torch.einsum("ne,nec->nc", pi_NE * (1 - chosen_NE), outputs_NEC.detach())
            y_NC = y_NC + surrogate_NC - surrogate_NC.detach()
        if self.r["type"] == "default":
            y_NC = y_NC + self.default_part(pi_NE, chosen_NE, outputs_NEC.detach(), prefix + "default_vectors")
        if self.m["n_shared_experts"] > 0:
            y_NC = y_NC + self.mlp(x_NC, prefix + "shared_experts.")

        # Fractions of the planned slots: these routers may run more or fewer experts.
        varies = self.r["type"] in ("remoe", "expert_threshold")
        planned = len(x_NC) * self.m["num_experts_per_tok"] if varies else chosen_NE.sum()
        fraction_E = chosen_NE.sum(0) / planned
        balance = E * (fraction_E * pi_NE.mean(0)).sum()
        z = (torch.logsumexp(logits_NE, -1) ** 2).mean()
        return y_NC, balance, z

    def choose(self, scores_NE):
        """Returns 1 where the token runs the expert, else 0."""
        if self.r["type"] == "dense":
            return torch.ones_like(scores_NE)
        K = self.m["num_experts_per_tok"]
        ordered = scores_NE.detach().sort(-1, descending=True).values
        if K < self.m["num_experts"]:
            self.closest_choice = min(self.closest_choice, (ordered[:, K - 1] - ordered[:, K]).min().item())
        chosen_NE = (scores_NE.detach() >= ordered[:, K - 1 : K]).to(scores_NE.dtype)
        assert (chosen_NE.sum(-1) == K).all(), "two experts tie; take another seed"
        self.smallest_load = min(self.smallest_load, chosen_NE.sum(0).min().item())
        return chosen_NE

    def live(self, logits_NE):
        """ReMoE (arXiv 2412.14711): returns 1 where the expert's gate is above 0, and counts the ones for lambda."""
        live_NE = (logits_NE.detach() > 0).to(logits_NE.dtype)
        self.closest_choice = min(self.closest_choice, logits_NE.detach().abs().min().item())
        self.smallest_load = min(self.smallest_load, live_NE.sum(0).min().item())
        self.excess += live_NE.sum().item() - len(logits_NE) * self.m["num_experts_per_tok"]
        return live_NE

    def above_threshold(self, logits_NE, name):
        """Expert Threshold (arXiv 2603.11535): returns 1 where the logit exceeds the expert's threshold, or its cutoff in
        this micro-batch while the router warms up. The cutoff is the value that a share K / E of the logits exceeds,
        from a histogram with 2048 bins between -16 and 16; logits spread evenly over their bin."""
        bins, share = 2048, self.m["num_experts_per_tok"] / self.m["num_experts"]
        width = 32 / bins
        cutoffs = []
        for column in logits_NE.T:
            counts = torch.bincount(((column + 16) / width).floor().long().clamp(0, bins - 1), minlength=bins)
            from_top = counts.flip(0).cumsum(0)
            bin_from_top = int((from_top < share * len(column)).sum())
            count = counts.flip(0)[bin_from_top].item()
            part = (share * len(column) - (from_top[bin_from_top].item() - count)) / count
            cutoffs.append(16 - width * (bin_from_top + part))
        cutoff_E = torch.tensor(cutoffs)
        self.pending.setdefault(name, []).append(cutoff_E)
        warm = self.state[name + ".steps"].item() >= self.r["warmup_steps"]
        margin_NE = logits_NE - (self.state[name] if warm else cutoff_E)
        chosen_NE = (margin_NE > 0).to(logits_NE.dtype)
        self.closest_choice = min(self.closest_choice, margin_NE.abs().min().item())
        self.smallest_load = min(self.smallest_load, chosen_NE.sum(0).min().item())
        return chosen_NE

    def move_thresholds(self):
        """Expert Threshold only: the moving average of the steps' mean cutoffs, corrected as Adam corrects its moments."""
        for name, cutoffs in self.pending.items():
            steps, decay = self.state[name + ".steps"], self.r["threshold_decay"]
            weight = (1 - decay) / (1 - decay ** (steps.item() + 1))
            self.state[name] += weight * (torch.stack(cutoffs).mean(0) - self.state[name])
            steps += 1
        self.clear_pending()

    def draw(self, logits_NE, sampler):
        """SparseMixer-v2 (GRIN, arXiv 2409.12136): returns gates and choices. Each of K rounds draws one of the logits
        close to the largest remaining one. A gate's value may be a third of its share; its gradient is that of the full
        share."""
        N, E = logits_NE.shape
        key, position = self.state[sampler].tolist()
        gates_NE, chosen_NE = torch.zeros_like(logits_NE), torch.zeros_like(logits_NE)
        for n in range(N):
            for k in range(self.m["num_experts_per_tok"]):
                s_E = logits_NE[n].detach()
                left_E = chosen_NE[n] == 0
                top = s_E[left_E].max()
                reach_E = 2 * self.r["jitter"] * s_E.abs().clamp(min=top.item())
                near_E = left_E & (top - s_E <= reach_E)
                share_E = torch.softmax(logits_NE[n].masked_fill(~near_E, -math.inf), -1)
                words = philox((position % 2**32, position >> 32, k, 0), (key % 2**32, (key >> 32) % 2**32))
                through_E = share_E.detach().cumsum(-1)
                uniform, whole = (words[0] >> 8) * 2.0**-24, words[1] < 2**30
                e = int((through_E <= uniform).sum())
                margins = [(through_E[:-1] - uniform).abs().min(), (top - s_E - reach_E)[left_E].abs().min()]
                self.closest_choice = min(self.closest_choice, *(margin.item() for margin in margins))
                taken = 0.0 if whole or s_E[e] == top else (share_E[e] * 2 / 3).detach()
                gates_NE[n, e] = share_E[e] - taken
                chosen_NE[n, e] = 1
            position += 1
        self.state[sampler][1] = position
        self.smallest_load = min(self.smallest_load, chosen_NE.sum(0).min().item())
        return gates_NE, chosen_NE

    def default_part(self, pi_NE, chosen_NE, outputs_NEC, name):
        """Returns what the default vectors contribute for the experts that a token did not choose."""
        self.learn_defaults(pi_NE.detach(), chosen_NE, outputs_NEC, name)
        missing_NC = (pi_NE * (1 - chosen_NE)) @ self.state[name]
        if self.r["default_forward"]:
            return missing_NC
        return missing_NC - missing_NC.detach()  # zero, with the gradient of missing_NC

    def learn_defaults(self, pi_NE, chosen_NE, outputs_NEC, name):
        """Adds this micro-batch to the pending sums; with ema_update "forward", updates the vectors immediately."""
        scale_NE = self.clip_scale(chosen_NE, outputs_NEC)
        weighting = self.r["ema_weighting"]
        weight_NE = chosen_NE if weighting == "uniform" else chosen_NE * pi_NE
        divisor_NE = weight_NE if weighting == "score_normalized" else chosen_NE
        sum_EC = torch.einsum("ne,nec->ec", weight_NE * scale_NE, outputs_NEC)
        old_sum_EC, old_divisor_E = self.pending.get(name, (0.0, 0.0))
        self.pending[name] = (old_sum_EC + sum_EC, old_divisor_E + divisor_NE.sum(0))
        if self.r["ema_update"] == "forward":
            self.move_defaults()

    def clip_scale(self, chosen_NE, outputs_NEC):
        """Returns min(1, c * median / norm) for every output row; median: the lower median over the R rows that ran."""
        norm_NE = outputs_NEC.norm(dim=-1)
        if self.r["ema_clip"] == 0:
            return torch.ones_like(norm_NE)
        norms_R = norm_NE[chosen_NE > 0].sort().values
        median = norms_R[(len(norms_R) - 1) // 2]
        return (self.r["ema_clip"] * median / norm_NE).clamp(max=1.0)

    def move_defaults(self):
        for name, (sum_EC, divisor_E) in self.pending.items():
            beta = self.r["ema_beta"]
            for e in range(len(divisor_E)):
                if divisor_E[e] > 0:
                    self.state[name][e] = beta * self.state[name][e] + (1 - beta) * sum_EC[e] / divisor_E[e]
                elif self.r["ema_unseen"] == "decay":
                    self.state[name][e] = beta * self.state[name][e]
        self.clear_pending()

    def clear_pending(self):
        self.pending, self.excess, self.loads = {}, 0, {}

    def move_biases(self):
        """Loss-free balancing (arXiv 2408.15664): a bias rises by the rate if the load was below the mean, and falls if
        it was above."""
        for prefix, load_E in self.loads.items():
            self.state[prefix + "gate.e_score_correction_bias"] += self.r["bias_rate"] * (load_E.mean() - load_E).sign()

    def move_l1_coefficient(self):
        """ReMoE only: multiplies lambda by alpha^sign(live experts - planned experts in this step)."""
        if "model.l1_coefficient" in self.state:
            sign = (self.excess > 0) - (self.excess < 0)
            self.state["model.l1_coefficient"] *= self.r["l1_factor"] ** sign

    def forward(self, tokens_BT, targets_BT):
        """Returns logits (N, V), mean cross-entropy, the MoE layers' load-balancing losses and z-losses, and the
        z-loss of the output."""
        x = self.params["model.embed_tokens.weight"][tokens_BT]
        documents = self.documents(tokens_BT)
        balance, z = [], []
        for layer in range(self.m["num_hidden_layers"]):
            prefix = f"model.layers.{layer}."
            x = x + self.attention(self.norm(x, prefix + "input_layernorm"), *documents, prefix + "self_attn.")
            h = self.norm(x, prefix + "post_attention_layernorm")
            if self.m["num_experts"] > 0 and layer >= self.m["first_k_dense_replace"]:
                y_NC, layer_balance, layer_z = self.moe(h.flatten(0, 1), prefix + "mlp.")
                x = x + y_NC.view_as(x)
                balance.append(layer_balance)
                z.append(layer_z)
            else:
                x = x + self.mlp(h, prefix + "mlp.")
        head = "model.embed_tokens" if self.m["tie_word_embeddings"] else "lm_head"
        logits = self.project(self.norm(x, "model.norm"), head).flatten(0, 1)
        if cap := self.m.get("logit_softcap", 0):
            logits = cap * torch.tanh(logits / cap)
        lse_N = torch.logsumexp(logits, -1)
        loss = (lse_N - logits.gather(1, targets_BT.reshape(-1, 1))[:, 0]).mean()
        return logits, loss, balance, z, (lse_N**2).mean()

    # ---- a training step ---------------------------------------------------------------------------------------

    def step(self, tokens_MBT, targets_MBT):
        """Runs one optimizer step over M micro-batches. Returns its intermediate results by name."""
        M = len(tokens_MBT)
        for p in self.params.values():
            p.grad = None
        runs = []
        for tokens_BT, targets_BT in zip(tokens_MBT, targets_MBT):
            logits, loss, balance, z, output_z = self.forward(tokens_BT, targets_BT)
            total = loss + self.m["router_aux_loss_coef"] * sum(balance) + self.m["router_z_loss_coef"] * sum(z)
            total = total + self.m.get("output_z_loss_coef", 0) * output_z
            if self.r["type"] == "remoe":
                total = total + self.state["model.l1_coefficient"].item() * sum(balance) / len(balance)
            (total / M).backward()
            mean_balance = sum(balance).item() / len(balance) if balance else 0.0
            runs.append((logits.detach(), loss.item(), mean_balance))
        grads = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in self.params.items()}
        norm = math.sqrt(sum((g * g).sum().item() for g in grads.values()))
        self.optimize(grads, norm)
        self.move_l1_coefficient()
        if self.r["type"] == "loss_free":
            self.move_biases()
        if self.r["type"] == "expert_threshold":
            self.move_thresholds()
        self.move_defaults()  # for ema_update "step"; with "forward" nothing is pending here
        return {
            "logits": runs[0][0], "first_loss": runs[0][1], "loss": sum(run[1] for run in runs) / M,
            "balance": sum(run[2] for run in runs) / M, "grads": grads, "grad_norm": norm,
        }

    def learning_rate(self, s):
        """Returns the rate of step s = 0, 1, ...: linear warm-up, then a cosine from the peak to the floor.

        The cosine's progress is (s - warmup) / (steps - warmup); `steps` is lr_decay_steps if that is given."""
        peak, schedule = self.config["optimizer"]["learning_rate"], self.config["schedule"]
        warmup, steps = schedule["warmup_steps"], schedule.get("lr_decay_steps") or self.config["train"]["steps"]
        if s < warmup:
            return peak * (s + 1) / warmup
        floor = peak * schedule["min_lr_ratio"]
        progress = (s - warmup) / max(1, steps - warmup)
        return floor + (peak - floor) * (1 + math.cos(math.pi * progress)) / 2

    @torch.no_grad()
    def optimize(self, grads, norm):
        o = self.config["optimizer"]
        peak_rate = self.learning_rate(self.steps_done)
        self.steps_done += 1
        clip = min(1.0, o["grad_clip"] / norm) if o["grad_clip"] > 0 else 1.0
        for name, p in self.params.items():
            kind, factor, decay = self.rule(name)
            lr = peak_rate * factor
            p.mul_(1 - lr * decay)
            p.sub_(lr * (self.muon if kind == "muon" else self.adamw)(name, grads[name] * clip))

    def rule(self, name):
        """Returns the parameter's optimizer, factor on the learning rate, and weight decay."""
        o, is_matrix = self.config["optimizer"], self.params[name].dim() > 1
        kind = "muon" if o["type"] == "muon" and name.endswith("_proj.weight") else "adamw"
        factor, decay = 1.0, o["weight_decay"] if is_matrix else 0.0
        for group in o.get("groups", []):
            if fnmatch.fnmatchcase(name, group["match"]):  # the first group that matches
                factor = group.get("learning_rate_scale", group.get("learning_rate", 0) / o["learning_rate"]) or 1.0
                return group.get("type", kind), factor, group.get("weight_decay", decay)
        return kind, factor, decay

    def adamw(self, name, g):
        o, (m, v) = self.config["optimizer"], self.moments[name]
        correct1, correct2 = 1 - o["beta1"] ** self.steps_done, 1 - o["beta2"] ** self.steps_done
        m.mul_(o["beta1"]).add_((1 - o["beta1"]) * g)
        v.mul_(o["beta2"]).add_((1 - o["beta2"]) * g * g)
        return (m / correct1) / (torch.sqrt(v / correct2) + o["eps"])

    def muon(self, name, g):
        o, (m, _) = self.config["optimizer"], self.moments[name]
        m.mul_(o["momentum"]).add_(g)
        rows, columns = g.shape
        if o["muon_scale"] == "original":
            scale = math.sqrt(max(1, rows / columns))
        else:
            scale = 0.2 * math.sqrt(max(rows, columns))
        return scale * newton_schulz(g + o["momentum"] * m)
