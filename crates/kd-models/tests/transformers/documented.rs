//! Cases that need not be met yet, each with the reason.

/// Of `transformers.json`.
pub const FIRST: &[(&str, &str)] = &[];

/// Of `transformers_more.json`.
pub const MORE: &[(&str, &str)] = &[
    ("networks/gcn_symmetric", GRAPH),
    ("networks/gcn_row", GRAPH),
    ("networks/gat", GRAPH),
    ("networks/sage_mean", GRAPH),
    ("networks/sage_gcn", GRAPH),
    ("networks/mlp", GRAPH),
    ("pieces/linear_warmup_decay", SCHEDULE),
    ("losses/tinybert_attention_masked", LOSS),
    ("losses/attention_mse_real_tokens", LOSS),
    ("losses/hidden_mse_real_tokens", LOSS),
    ("losses/cosine_hidden_masked", LOSS),
    ("losses/kd_tokens_masked", LOSS),
    ("losses/tinybert_prediction", LOSS),
    ("losses/pkd_bert", LOSS),
    ("losses/minilm_relation_masked", LOSS),
    ("losses/minilm_v1", LOSS),
    ("losses/gkd_beta_0.0", LOSS),
    ("losses/gkd_beta_0.1", LOSS),
    ("losses/gkd_beta_0.5", LOSS),
    ("losses/gkd_beta_1.0", LOSS),
    ("losses/topk_kl_zero", LOSS),
    ("losses/topk_kl_symmetric_uniform", LOSS),
    ("losses/uld", LOSS),
    ("losses/lsp_published_code", LOSS),
    ("training/tinybert_intermediate", TRAINING),
    ("training/tinybert_prediction", TRAINING),
    ("training/minilm_v1", TRAINING),
    ("training/minilm_v2", TRAINING),
    ("training/pkd", TRAINING),
    ("training/distilbert", TRAINING),
    ("training/gcn", TRAINING),
    ("training/glnn", TRAINING),
];

const GRAPH: &str = "a network that reads graphs, which the registry does not have";
const SCHEDULE: &str = "a schedule of the learning rate, which is no network";
const LOSS: &str = "a loss, which is no network";
const TRAINING: &str =
    "a training of networks that read text or graphs, which the registry does not have";
