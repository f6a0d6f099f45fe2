//! One distillation on several GPUs: each has the networks and a part of every batch, and burn averages the
//! gradients over them in the backward pass.
//!
//! `cargo run -p kd-cli --example several_gpus --features cuda` takes every CUDA device, and a processor
//! without that feature. Only losses that are means over images may be taken: see the chapter "Several GPUs".

use std::thread;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::distributed::{DistributedConfig, DistributedContext, ReduceOperation};
use burn::tensor::{Device, Tensor, TensorData};
use kd_core::{Taps, terms::kd::kd};
use kd_models::{Backbone, Network, NetworkConfig};

const STEPS: usize = 5;
/// Images of a batch, over all devices.
const BATCH: usize = 48;
const SIDE: usize = 16;

/// What a device came to.
#[derive(Debug)]
pub struct Part {
    /// The loss of its images at every step.
    pub losses: Vec<f32>,
    /// The sum of the squares of the student's weights: equal on all devices.
    pub norm: f32,
}

/// Marks weights whose gradients are averaged.
struct Shared;

impl ModuleMapper for Shared {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !param.is_require_grad() {
            return param;
        }
        let id = param.id;
        param.map(|weights| weights.set_distributed(id))
    }
}

#[derive(Default)]
struct Norm(f32);

impl ModuleVisitor for Norm {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.is_require_grad() {
            self.0 += param.val().inner().square().sum().into_scalar::<f32>();
        }
    }
}

/// The `at`-th of `parts` of the images of a step.
fn images(step: usize, at: usize, parts: usize, device: &Device) -> Tensor<4> {
    let count = BATCH / parts;
    let first = (step * BATCH + at * count) * SIDE * SIDE;
    let pixel = |i: usize| (0.37 * (first + i) as f32).sin();
    let values: Vec<f32> = (0..count * SIDE * SIDE).map(pixel).collect();
    Tensor::from_data(TensorData::new(values, [count, 1, SIDE, SIDE]), device)
}

/// The steps of one device.
fn part(
    teacher: &Network,
    mut student: Network,
    at: usize,
    parts: usize,
    device: &Device,
) -> Result<Part, kd_core::Error> {
    let autodiff = device.clone().autodiff();
    let mut optimizer = SgdConfig::new().init();
    let mut losses = Vec::new();
    for step in 0..STEPS {
        let batch = images(step, at, parts, device);
        let answers = teacher.forward(batch.clone(), &Taps::none()).logits;
        let found = student.forward(batch.to_device(&autodiff), &Taps::none());
        let loss = kd(found.logits, Tensor::from_inner(answers), 4.0)?;
        losses.push(loss.clone().into_scalar());
        let gradients = GradientsParams::from_grads(loss.backward(), &student);
        student = optimizer.step(0.05, student, gradients);
    }
    let mut norm = Norm::default();
    student.visit(&mut norm);
    Ok(Part {
        losses,
        norm: norm.0,
    })
}

/// Distils on devices of one kind; the batch must divide by their number.
pub fn distil(devices: &[Device]) -> Result<Vec<Part>, Box<dyn std::error::Error>> {
    let parts = devices.len();
    if parts == 0 || !BATCH.is_multiple_of(parts) {
        return Err(format!("{BATCH} images cannot be divided over {parts} devices").into());
    }
    let config = |model| NetworkConfig::new(model, 10, 1);
    let networks = |device: &Device| -> Result<_, kd_models::Error> {
        Ok((
            Network::new(&config("resnet14"), device)?,
            Network::new(&config("resnet8"), &device.clone().autodiff())?,
        ))
    };
    let (teacher, student) = networks(&devices[0])?;
    // A record carries the weights, and their names by which burn finds those that belong together.
    let (teacher, student) = (teacher.into_record(), student.into_record());
    let copies = devices.iter().map(|device| {
        let (own_teacher, own_student) = networks(device)?;
        let own_teacher = own_teacher.load_record(teacher.clone()).valid();
        Ok((own_teacher, own_student.load_record(student.clone())))
    });
    let copies = copies.collect::<Result<Vec<_>, kd_models::Error>>()?;

    // While it lives, marked gradients are averaged. One device has nothing to average.
    let _context = (parts > 1).then(|| {
        let all_reduce_op = ReduceOperation::Mean;
        DistributedContext::init(devices.to_vec(), DistributedConfig { all_reduce_op })
    });
    let results: Vec<_> = thread::scope(|scope| {
        let started: Vec<_> = devices
            .iter()
            .zip(&copies)
            .enumerate()
            .map(|(at, (device, (teacher, student)))| {
                let student = student.clone();
                let student = match parts {
                    1 => student,
                    _ => student.map(&mut Shared),
                };
                scope.spawn(move || part(teacher, student, at, parts, device))
            })
            .collect();
        started.into_iter().map(|t| t.join()).collect()
    });
    let mut found = Vec::new();
    for result in results {
        found.push(result.map_err(|_| "a device's thread has panicked")??);
    }
    Ok(found)
}

/// Runs the example.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    #[cfg(feature = "cuda")]
    let devices = Device::enumerate(burn::tensor::DeviceType::Cuda).into_vec();
    #[cfg(not(feature = "cuda"))]
    let devices = [Device::default()];
    for (at, part) in distil(&devices)?.iter().enumerate() {
        println!("device {at}: losses {:?}, norm {}", part.losses, part.norm);
    }
    Ok(())
}
