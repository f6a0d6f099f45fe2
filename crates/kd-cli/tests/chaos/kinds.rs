//! Kinds of runs, each with its own parts of the state.

/// A kind of run.
#[derive(Clone, Copy)]
pub struct Kind {
    pub name: &'static str,
    /// What comes after the recipe's first lines.
    pub recipe: &'static str,
    /// Variants of a study of the recipe; a run when there are none.
    pub study: &'static str,
}

/// The lines that all recipes begin with.
pub const BASE: &str = r#"
name = "tiny"

[data]
name = "fashion_mnist_small"
train_limit = 64
test_limit = 32
validation = 0.25

[train]
epochs = 3
batch = 16
log_every = 1
lr = { peak = 0.02 }
"#;

pub const KINDS: [Kind; 8] = [
    Kind {
        name: "plain KD",
        recipe: r#"
            train.checkpoint.every_steps = 2
            [teacher]
            model = "resnet8"
            train = { epochs = 1, batch = 16, lr = { peak = 0.02 } }
            [student]
            model = "resnet8"
            [objective.cross_entropy]
            weight = 0.1
            [objective.kd]
            weight = 0.9
        "#,
        study: "",
    },
    Kind {
        name: "CRD, moving average, balance by gradient norms, accumulation",
        recipe: r#"
            compare = false
            train.ema = 0.9
            train.accumulate = 2
            train.checkpoint.every_steps = 1
            [teacher]
            model = "resnet8"
            train = { epochs = 1, batch = 16, lr = { peak = 0.02 } }
            [student]
            model = "resnet8"
            [objective]
            balance = { rule = "gradient_norm", every = 2 }
            cross_entropy = {}
            crd = { weight = 0.8, negatives = 16 }
        "#,
        study: "",
    },
    Kind {
        name: "SimKD",
        recipe: r#"
            [teacher]
            model = "resnet14"
            train = { epochs = 1, batch = 16, lr = { peak = 0.02 } }
            [student]
            model = "resnet8"
            [objective.simkd]
        "#,
        study: "",
    },
    Kind {
        name: "two stages with peers and mutual learning",
        recipe: r#"
            compare = false
            [stages.first]
            model = "resnet8"
            teachers = []
            [student]
            model = "resnet8"
            teachers = ["first"]
            peers = ["resnet14"]
            mutual = true
            [objective.cross_entropy]
            [objective.kd]
            weight = 0.5
        "#,
        study: "",
    },
    Kind {
        name: "teacher cache in a file",
        recipe: r#"
            train.checkpoint.every_steps = 2
            [teacher]
            model = "resnet8"
            train = { epochs = 1, batch = 16, lr = { peak = 0.02 } }
            cache = { place = "file", views = 2 }
            [student]
            model = "resnet8"
            [objective.cross_entropy]
            weight = 0.1
            [objective.kd]
            weight = 0.9
        "#,
        study: "",
    },
    Kind {
        name: "study of two variants",
        recipe: r#"
            compare = false
            [teacher]
            model = "resnet8"
            train = { epochs = 1, batch = 16, lr = { peak = 0.02 } }
            [student]
            model = "resnet8"
            [objective.cross_entropy]
            weight = 0.1
            [objective.kd]
            weight = 0.9
        "#,
        study: r#"
            recipe = "tiny.toml"
            seeds = 1
            [variants.kd]
            [variants.vid.objective]
            cross_entropy = {}
            vid.weight = 0.1
        "#,
    },
    Kind {
        name: "learned weights, AdamW, clipping, patience, two seeds",
        recipe: r#"
            seed = 4
            compare = false
            train.optimizer = { name = "adamw" }
            train.clip_norm = 1.0
            train.patience = 2
            train.checkpoint.every_steps = 3
            [teacher]
            model = "resnet8"
            train = { epochs = 1, batch = 16, lr = { peak = 0.02 } }
            [student]
            model = "resnet8"
            [objective]
            balance = "uncertainty"
            cross_entropy = {}
            ctkd = { weight = 1.0 }
            fitnet = { weight = 1.0 }
        "#,
        study: "",
    },
    Kind {
        name: "distilled, pruned, distilled, quantised and written as ONNX",
        recipe: r#"
            train.checkpoint.every_steps = 2
            [teacher]
            model = "resnet8"
            train = { epochs = 1, batch = 16, lr = { peak = 0.02 } }
            [stages.cut]
            do = "prune"
            model = "resnet8"
            prune = { macs = 0.5, images = 32 }
            [stages.half]
            model = "resnet8"
            start = "cut"
            [stages.rounded]
            do = "quantise"
            model = "resnet8"
            start = "half"
            quantise = { images = 32 }
            [student]
            model = "resnet8"
            start = "half"
            teachers = ["half"]
            quantise = { images = 32 }
            [stages.file]
            do = "export"
            model = "resnet8"
            start = "student"
            [objective.kd]
        "#,
        study: "",
    },
];
