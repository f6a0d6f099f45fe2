//! Losses of what stands inside the networks: maps, embeddings, classifiers.

pub mod ab;
pub mod at;
pub mod camkd;
pub mod cwd;
pub mod fitnet;
pub mod fsp;
pub mod ft;
pub mod ickd;
pub mod kdsvd;
pub mod mgd;
pub mod nst;
pub mod ofd;
pub mod pkd;
pub mod reviewkd;
pub mod simkd;
pub mod srrl;
pub mod vid;
