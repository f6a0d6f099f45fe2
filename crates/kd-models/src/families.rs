//! The families of image networks, a line each.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use kd_core::{Output, Taps};

use crate::Error;
use crate::architecture::{Architecture, Named};
use crate::backbone::Backbone;
use crate::elsewhere::Elsewhere;
use crate::macs::MacCounter;
use crate::spelling::Spelling;
use crate::variant::Variant;
use crate::vit::Origin;

macro_rules! families {
    ($($file:ident: $network:ident;)+) => {
        $(use crate::$file::$network;)+

        /// A network of any family.
        #[derive(Module, Debug)]
        pub(crate) enum ImageNetwork {
            $($network($network),)+
        }

        /// A family, and what distinguishes a network within it.
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum Design {
            $($network(<$network as Architecture>::Config),)+
        }

        /// Every registered name, family by family.
        pub(crate) fn registered() -> Vec<Named<Design>> {
            let mut names = Vec::new();
            $(
                let family = <$network as Architecture>::MODELS.iter();
                names.extend(family.map(|named| named.map(Design::$network)));
            )+
            names
        }

        impl Design {
            /// See [`Architecture::image_size`].
            pub fn image_size(&self) -> usize {
                match self {
                    $(Self::$network(config) => <$network as Architecture>::image_size(config),)+
                }
            }

            /// See [`Architecture::for_images`]; parameters are drawn when they are first used.
            pub fn build(
                &self,
                channels: usize,
                classes: usize,
                images: (usize, &str),
                device: &Device,
            ) -> Result<ImageNetwork, Error> {
                Ok(match self {
                    $(Self::$network(config) => ImageNetwork::$network(
                        <$network as Architecture>::for_images(
                            config, channels, classes, images, device,
                        )?,
                    ),)+
                })
            }
        }

        impl Backbone for ImageNetwork {
            type Input = Tensor<4>;

            fn forward(&self, input: Tensor<4>, taps: &Taps) -> Output {
                match self {
                    $(Self::$network(network) => network.forward(input, taps),)+
                }
            }
        }

        impl ImageNetwork {
            /// See [`Architecture::count`].
            pub fn count(&self, macs: &mut MacCounter) {
                match self {
                    $(Self::$network(network) => network.count(macs),)+
                }
            }

            /// See [`Architecture::pytorch_key`].
            pub fn pytorch_key(&self, path: &str) -> String {
                match self {
                    $(Self::$network(network) => network.pytorch_key(path),)+
                }
            }

            /// See [`Architecture::spellings`].
            pub fn spellings(&self, own: &[String]) -> Vec<Spelling> {
                match self {
                    $(Self::$network(network) => network.spellings(own),)+
                }
            }

            /// See [`Architecture::origin`].
            pub fn origin(&self) -> Option<Origin> {
                match self {
                    $(Self::$network(network) => network.origin(),)+
                }
            }

            /// See [`Architecture::set_origin`].
            pub fn set_origin(&mut self, origin: Origin) {
                match self {
                    $(Self::$network(network) => network.set_origin(origin),)+
                }
            }

            /// See [`Architecture::epsilon`].
            pub fn epsilon(&self) -> Option<f64> {
                match self {
                    $(Self::$network(network) => network.epsilon(),)+
                }
            }

            /// See [`Architecture::set_epsilon`].
            #[must_use]
            pub fn set_epsilon(&mut self, epsilon: Option<f64>) -> bool {
                match self {
                    $(Self::$network(network) => network.set_epsilon(epsilon),)+
                }
            }

            /// See [`Architecture::variant`].
            pub fn variant(&self) -> Variant {
                match self {
                    $(Self::$network(network) => network.variant(),)+
                }
            }

            /// See [`Architecture::set_variant`].
            #[must_use]
            pub fn set_variant(&mut self, variant: Variant) -> bool {
                match self {
                    $(Self::$network(network) => network.set_variant(variant),)+
                }
            }

            /// See [`Architecture::heads`].
            pub fn heads(&self) -> Vec<usize> {
                match self {
                    $(Self::$network(network) => network.heads(),)+
                }
            }

            /// See [`Architecture::set_heads`].
            #[must_use]
            pub fn set_heads(&mut self, heads: &[usize]) -> bool {
                match self {
                    $(Self::$network(network) => network.set_heads(heads),)+
                }
            }

            /// See [`Architecture::elsewhere`].
            pub fn elsewhere(
                &self,
                program: Origin,
                torchvision: Option<&str>,
                own: &[String],
            ) -> Result<Elsewhere, String> {
                match self {
                    $(Self::$network(network) => network.elsewhere(program, torchvision, own),)+
                }
            }

            /// See [`Architecture::positions`].
            pub fn positions(&self) -> Option<&'static str> {
                match self {
                    $(Self::$network(network) => network.positions(),)+
                }
            }

            /// See [`Architecture::refit`].
            pub fn refit(&self, values: &TensorData, device: &Device) -> Option<TensorData> {
                match self {
                    $(Self::$network(network) => network.refit(values, device),)+
                }
            }

            /// See [`Architecture::classifiers`].
            pub fn classifiers(&self) -> &'static [&'static str] {
                match self {
                    $(Self::$network(network) => network.classifiers(),)+
                }
            }
        }

        #[cfg(test)]
        mod tests {
            use super::*;

            #[test]
            fn no_family_makes_the_others_carry_its_size() {
                let sizes = [$((stringify!($network), size_of::<$network>()),)+];
                assert!(sizes.iter().all(|(_, size)| *size < 2048), "{sizes:?}");
            }
        }
    };
}

families! {
    resnet_cifar: ResNetCifar;
    resnet: ResNet;
    wrn: WideResNet;
    vgg: Vgg;
    mobilenet: MobileNet;
    shufflenet_v1: ShuffleNetV1;
    shufflenet_v2: ShuffleNetV2;
    vit: Vit;
    cct: Cct;
}
