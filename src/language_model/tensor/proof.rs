//! Every operation on small inputs: what a card's kernels are compared with their twins on, before
//! anything relies on them, and the twins with chains of candle's own operations.

use candle_core::{DType, Device, Result, Tensor};

use super::operations::{Mask, NOWHERE, Operation};
use crate::base::Random;
use crate::model_files::NumberType;

/// An operation and what it is applied to.
pub(super) struct Sample {
    pub(super) operation: Operation,
    /// Whether the first input is changed, or something new made.
    pub(super) in_place: bool,
    pub(super) inputs: Vec<Tensor>,
}

impl Sample {
    /// What the operation gives, the inputs unchanged.
    pub(super) fn apply(&self) -> Result<Tensor> {
        let operation = &self.operation;
        match (self.inputs.as_slice(), self.in_place) {
            ([one], false) => one.apply_op1_no_bwd(operation),
            ([one, two], false) => one.apply_op2_no_bwd(two, operation),
            ([one, two, three], false) => one.apply_op3_no_bwd(two, three, operation),
            ([one, two], true) => {
                let one = one.copy()?;
                one.inplace_op2(two, operation)?;
                Ok(one)
            }
            ([one, two, three], true) => {
                let one = one.copy()?;
                one.inplace_op3(two, three, operation)?;
                Ok(one)
            }
            (inputs, _) => candle_core::bail!("{} inputs", inputs.len()),
        }
    }
}

/// Makes the numbers of samples.
struct Maker<'a> {
    random: Random,
    device: &'a Device,
    dtype: DType,
}

impl Maker<'_> {
    fn exact(&mut self, shape: &[usize]) -> Result<Tensor> {
        let count = shape.iter().product();
        let all: Vec<f32> = (0..count).map(|_| self.random.normal() as f32).collect();
        Tensor::from_vec(all, shape, &Device::Cpu)?.to_device(self.device)
    }

    /// In the type that is computed in.
    fn numbers(&mut self, shape: &[usize]) -> Result<Tensor> {
        let made = self.exact(shape)?.to_device(&Device::Cpu)?;
        made.to_dtype(self.dtype)?.to_device(self.device)
    }

    fn integers(&self, all: &[u32], shape: &[usize]) -> Result<Tensor> {
        Tensor::from_slice(all, shape, self.device)
    }

    /// Two rows of blocks of any bytes, but for the scales in front (one; two in large blocks): halves of
    /// any bytes may be no numbers.
    fn blocks(&mut self, kind: NumberType, count: usize) -> Result<Tensor> {
        let (_, size) = kind.block();
        let mut all: Vec<u8> = (0..2 * count * size)
            .map(|_| self.random.below(256) as u8)
            .collect();
        for block in all.chunks_exact_mut(size) {
            for scale in block[..4].chunks_exact_mut(2).take(size / 100 + 1) {
                let value = half::f16::from_f64(0.01 * self.random.normal());
                scale.copy_from_slice(&value.to_le_bytes());
            }
        }
        Tensor::from_vec(all, (2, count * size), &Device::Cpu)?.to_device(self.device)
    }
}

/// Samples of every operation in a type.
pub(super) fn samples(device: &Device, dtype: DType) -> Result<Vec<Sample>> {
    let mut make = Maker {
        random: Random::new(7, "language_model/tensor/operations"),
        device,
        dtype,
    };
    let (rows, width, head, rank) = (5, 96, 16, 11);
    let [x, y, z] = [0, 1, 2].map(|_| make.numbers(&[rows, width]));
    let (x, y, z) = (x?, y?, z?);
    let weight = make.numbers(&[width])?;
    let angles = make.exact(&[rows, head / 2])?.to_device(&Device::Cpu)?;
    let cosine = angles.cos()?.to_device(device)?;
    let sine = angles.sin()?.to_device(device)?;
    let keys: Vec<u32> = (0..2 * rows as u32)
        .map(|at| at.wrapping_mul(0x9E37_79B9))
        .collect();
    let keys = make.integers(&keys, &[rows, 2])?;
    let mask = || {
        Some(Mask {
            keys: keys.clone(),
            rate: 0.3,
        })
    };
    let low = make.numbers(&[rows, rank])?;
    let inputs_matrix = make.numbers(&[rank, width])?;
    let outputs_matrix = make.numbers(&[width, rank])?;
    // Two sequences, one shorter, of the five rows.
    let places = make.integers(&[4, 0, 2, 3, 1, NOWHERE], &[6])?;
    let by_head = make.numbers(&[2, width / head, 3, head])?;
    let first = make.numbers(&[2, width])?;
    let scores = make.numbers(&[2, 3, 2, 40])?;
    let more = make.numbers(&[2, 3, 2, 40])?;
    let seen = make.integers(&[0, 9, 3, 40, 39, 40, 0, 1], &[2, 2, 2])?;
    // More columns than a block has threads.
    let logits = make.numbers(&[3, 300])?;
    let tokens = make.integers(&[7, 299, 0, 0, 128, 5], &[3, 2])?;
    let weights = Tensor::from_slice(&[0.5_f32, 0.25, 1.0, 2.0, 0.125, 0.0], (3, 2), device)?;
    let sums = make.exact(&[3])?.affine(0.1, 6.0)?;
    let new = |operation, inputs: &[&Tensor]| Sample {
        operation,
        in_place: false,
        inputs: inputs.iter().copied().cloned().collect(),
    };
    let changed = |operation, inputs: &[&Tensor]| Sample {
        in_place: true,
        ..new(operation, inputs)
    };
    let mut all = vec![
        new(Operation::DropOut { rate: 0.3 }, &[&x, &keys]),
        new(Operation::Swiglu, &[&x, &y]),
        new(Operation::SwigluBackward, &[&x, &y, &z]),
        new(
            Operation::NormBackward { epsilon: 1e-5 },
            &[&x, &y, &weight],
        ),
        changed(
            Operation::Rotate {
                width,
                head,
                sign: -1.0,
            },
            &[&x, &cosine, &sine],
        ),
        new(
            Operation::ToHeads {
                width,
                head,
                length: 3,
            },
            &[&x, &places],
        ),
        changed(
            Operation::FromHeads {
                width,
                head,
                length: 3,
            },
            &[&x, &by_head, &places],
        ),
        changed(
            Operation::SumHeads {
                width,
                head,
                length: 3,
                batch: 2,
            },
            &[&first, &by_head],
        ),
        changed(
            Operation::Softmax {
                scale: 0.7,
                heads: 3,
                queries: 2,
                keys: 40,
            },
            &[&scores, &seen],
        ),
        changed(
            Operation::SoftmaxBackward {
                scale: 0.7,
                keys: 40,
            },
            &[&scores, &more],
        ),
        new(Operation::LogSums { vocabulary: 300 }, &[&logits]),
        changed(
            Operation::CrossEntropyBackward {
                scale: 4.0,
                vocabulary: 300,
                targets: 2,
                log_sums: sums,
            },
            &[&logits, &tokens, &weights],
        ),
    ];
    for mask in [None, mask()] {
        let lowered = Operation::Lowered {
            width,
            scale: 0.4,
            mask: mask.clone(),
        };
        all.push(new(lowered, &[&x, &inputs_matrix]));
        for (outputs_first, matrix) in [(true, &outputs_matrix), (false, &inputs_matrix)] {
            let operation = Operation::AddLow {
                rank,
                outputs_first,
                mask: mask.clone(),
            };
            all.push(changed(operation, &[&x, &low, matrix]));
        }
    }
    for kind in [NumberType::Q8_0, NumberType::Q4_0, NumberType::Q4K] {
        let operation = Operation::Dequantise {
            kind,
            width: 512,
            into: dtype,
        };
        let blocks = make.blocks(kind, 512 / kind.block().0)?;
        all.push(new(operation, &[&blocks]));
    }
    Ok(all)
}

/// Compares every kernel with its twin, before anything relies on them.
#[cfg(feature = "cuda")]
pub(super) fn prove(
    device: &Device,
) -> std::result::Result<(), crate::language_model::LanguageModelError> {
    use crate::language_model::LanguageModelError;

    let candle = |source| LanguageModelError::candle("checking the card's kernels")(source);
    for dtype in [DType::F32, DType::BF16, DType::F16] {
        let here = samples(&Device::Cpu, dtype).map_err(candle)?;
        let there = samples(device, dtype).map_err(candle)?;
        // A number may be rounded the other way, no more.
        let tolerance = match dtype {
            DType::F32 => 1e-4,
            DType::BF16 => 1.0 / 64.0,
            _ => 1.0 / 512.0,
        };
        for (here, there) in here.iter().zip(&there) {
            let read = |sample: &Sample| -> Result<Vec<f32>> {
                let out = sample.apply()?.to_dtype(DType::F32)?;
                out.flatten_all()?.to_vec1()
            };
            let (twin, kernel) = (read(here).map_err(candle)?, read(there).map_err(candle)?);
            let wrong = twin.iter().zip(&kernel).find(|(twin, kernel)| {
                !((*twin - *kernel).abs() <= tolerance * twin.abs().max(1.0))
            });
            if let Some((twin, kernel)) = wrong {
                return Err(LanguageModelError::invalid(format!(
                    "on this card `{}` in {dtype:?} gives {kernel} where {twin} is right",
                    here.operation.kernel()
                ))
                .with_help(
                    "this is a bug in runner or its driver; please report it with the card's name",
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::{Read as _, Write as _};
    use std::path::Path;
    use std::process::{Command, Stdio};

    use candle_core::{D, Shape, Var};

    use super::super::launch::{Launch, Scalar};
    use super::*;

    /// Rows as dropout leaves them; held by the decoders' parity: the masks of both are the same.
    fn dropped(x: &Tensor, mask: Option<&Mask>) -> Result<Tensor> {
        match mask {
            None => Ok(x.clone()),
            Some(mask) => x.apply_op2_no_bwd(&mask.keys, &Operation::DropOut { rate: mask.rate }),
        }
    }

    /// Every number of `[T, W]` seen as `[B, N, n, D]`: its row, and its column.
    fn of_heads(places: &[u32], width: usize, head: usize, length: usize) -> Vec<(u32, usize)> {
        let batch = places.len() / length;
        let mut all = Vec::new();
        for one in 0..batch {
            for number in 0..width / head {
                for at in 0..length {
                    let place = places[one * length + at];
                    all.extend((0..head).map(|column| (place, number * head + column)));
                }
            }
        }
        all
    }

    fn flat(tensor: &Tensor) -> Result<Vec<f32>> {
        tensor.flatten_all()?.to_vec1()
    }

    /// The composite of candle's own operations, in f32.
    fn composite(operation: &Operation, inputs: &[Tensor]) -> Result<Tensor> {
        match operation {
            Operation::DropOut { .. } => inputs[0].apply_op2_no_bwd(&inputs[1], operation),
            Operation::Lowered { scale, mask, .. } => {
                let x = dropped(&inputs[0], mask.as_ref())?;
                x.matmul(&inputs[1].t()?)? * f64::from(*scale)
            }
            Operation::AddLow {
                outputs_first,
                mask,
                ..
            } => {
                let matrix = if *outputs_first {
                    inputs[2].t()?
                } else {
                    inputs[2].clone()
                };
                &inputs[0] + dropped(&inputs[1].matmul(&matrix)?, mask.as_ref())?
            }
            Operation::Swiglu => candle_nn::ops::silu(&inputs[0])?.mul(&inputs[1]),
            Operation::SwigluBackward => {
                let gate = Var::from_tensor(&inputs[0])?;
                let up = Var::from_tensor(&inputs[1])?;
                let out = candle_nn::ops::silu(&gate)?.mul(&up)?.mul(&inputs[2])?;
                let found = out.sum_all()?.backward()?;
                let both = [&gate, &up].map(|one| found.get(one).expect("a gradient").clone());
                Tensor::stack(&both, 0)
            }
            Operation::NormBackward { epsilon } => {
                let x = Var::from_tensor(&inputs[0])?;
                let out = candle_nn::ops::rms_norm_slow(&x, &inputs[2], *epsilon)?;
                let found = out.mul(&inputs[1])?.sum_all()?.backward()?;
                Ok(found.get(&x).expect("a gradient").clone())
            }
            Operation::Rotate { head, sign, .. } => {
                let (rows, width) = inputs[0].dims2()?;
                let x = inputs[0].reshape((1, rows, width / head, *head))?;
                let sine = (&inputs[2] * f64::from(*sign))?;
                let x = x.transpose(1, 2)?.contiguous()?;
                let out = candle_nn::rotary_emb::rope_slow(&x, &inputs[1], &sine)?;
                out.transpose(1, 2)?.reshape((rows, width))
            }
            Operation::ToHeads {
                width,
                head,
                length,
            } => {
                let places = inputs[1].to_vec1::<u32>()?;
                let rows = inputs[0].to_vec2::<f32>()?;
                let of = of_heads(&places, *width, *head, *length);
                let all: Vec<f32> = of
                    .into_iter()
                    .map(|(row, column)| rows.get(row as usize).map_or(0.0, |row| row[column]))
                    .collect();
                let batch = places.len() / length;
                Tensor::from_vec(all, (batch, width / head, *length, *head), &Device::Cpu)
            }
            Operation::FromHeads {
                width,
                head,
                length,
            } => {
                let places = inputs[2].to_vec1::<u32>()?;
                let mut rows = inputs[0].to_vec2::<f32>()?;
                let of = of_heads(&places, *width, *head, *length);
                for ((row, column), value) in of.into_iter().zip(flat(&inputs[1])?) {
                    if let Some(row) = rows.get_mut(row as usize) {
                        row[column] += value;
                    }
                }
                Tensor::new(rows, &Device::Cpu)
            }
            Operation::SumHeads { .. } => {
                let first = inputs[0].dim(0)?;
                let sums = inputs[1].narrow(2, 0, first)?.sum(0)?; // [N, p, D]
                let rows = sums.transpose(0, 1)?.reshape(inputs[0].shape())?;
                &inputs[0] + rows
            }
            Operation::Softmax { scale, .. } => {
                let seen = inputs[1].to_vec3::<u32>()?;
                let (batch, heads, queries, keys) = inputs[0].dims4()?;
                let mut mask = vec![f32::NEG_INFINITY; batch * queries * keys];
                for (row, of) in seen.concat().iter().enumerate() {
                    for at in of[0]..of[1] {
                        mask[row * keys + at as usize] = 0.0;
                    }
                }
                let mask = Tensor::from_vec(mask, (batch, 1, queries, keys), &Device::Cpu)?;
                let mask = mask.broadcast_as((batch, heads, queries, keys))?;
                let scores = ((&inputs[0] * f64::from(*scale))? + mask)?;
                candle_nn::ops::softmax(&scores, D::Minus1)
            }
            Operation::SoftmaxBackward { scale, .. } => {
                let (gradient, chances) = (&inputs[0], &inputs[1]);
                let along = (chances * gradient)?.sum_keepdim(D::Minus1)?;
                (chances * gradient.broadcast_sub(&along)?)? * f64::from(*scale)
            }
            Operation::LogSums { .. } => inputs[0].log_sum_exp(1),
            Operation::CrossEntropyBackward {
                scale, log_sums, ..
            } => {
                let (tokens, weights) = (&inputs[1], &inputs[2]);
                let chances = inputs[0].broadcast_sub(&log_sums.unsqueeze(1)?)?.exp()?;
                let chances = chances.broadcast_mul(&weights.sum_keepdim(1)?)?;
                chances.scatter_add(tokens, &weights.neg()?, 1)? * f64::from(*scale)
            }
            Operation::Dequantise { kind, width, .. } => {
                use candle_core::quantized::{GgmlDType, QStorage, QTensor};

                let kind = match kind {
                    NumberType::Q8_0 => GgmlDType::Q8_0,
                    NumberType::Q4_0 => GgmlDType::Q4_0,
                    _ => GgmlDType::Q4K,
                };
                let bytes = inputs[0].flatten_all()?.to_vec1::<u8>()?;
                let storage = QStorage::from_data(bytes.into(), &Device::Cpu, kind)?;
                QTensor::new(storage, (inputs[0].dim(0)?, *width))?.dequantize(&Device::Cpu)
            }
        }
    }

    #[test]
    fn every_operation_is_what_candles_own_chain_computes() {
        for (dtype, tolerance) in [
            (DType::F32, 2e-6),
            (DType::BF16, 0.005),
            (DType::F16, 0.001),
        ] {
            for sample in samples(&Device::Cpu, dtype).expect("samples") {
                let exact: Vec<Tensor> = sample
                    .inputs
                    .iter()
                    .map(|input| match input.dtype() {
                        DType::U32 | DType::U8 => input.clone(),
                        _ => input.to_dtype(DType::F32).expect("f32"),
                    })
                    .collect();
                let operation = &sample.operation;
                let found = sample.apply().expect("runs");
                let wanted = composite(operation, &exact).expect("runs");
                assert_eq!(found.shape(), wanted.shape(), "{operation:?}");
                if !matches!(operation, Operation::LogSums { .. }) {
                    assert_eq!(found.dtype(), dtype, "{operation:?}");
                }
                let found = found.to_dtype(DType::F32).expect("f32");
                let largest = |all: &Tensor| -> f32 {
                    let largest = all.abs().and_then(|all| all.max_all());
                    largest.and_then(|one| one.to_scalar()).expect("a number")
                };
                let far = (found - &wanted).expect("same shape");
                let far = largest(&far) / largest(&wanted).max(1.0);
                assert!(far <= tolerance, "{operation:?} {dtype:?}: {far}");
            }
        }
    }
    /// Makes of `kernels.cu` a program that runs its kernels on the processor (`tests/emulated_card`),
    /// and gives their names; `None` where there is no compiler for it.
    fn kernels_on_the_processor(folder: &Path) -> Option<BTreeSet<String>> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let card = root.join("tests/emulated_card");
        let kernels = root.join("src/language_model/tensor/kernels.cu");
        let source = std::fs::read_to_string(&kernels).expect("kernels");
        let after = |word: &'static str| source.split(word).skip(2);
        let plain = after(" KERNEL(").map(|rest| ("", rest));
        let blocks = after(" DEQUANTISE(").map(|rest| ("dequantise_", rest));
        let names = plain.chain(blocks).filter_map(|(prefix, rest)| {
            let (name, _) = rest.split_once(',')?;
            Some(format!("{prefix}{}", name.trim()))
        });
        let names: BTreeSet<String> = names.collect();
        let mut unit = format!(
            "#include \"threads.h\"\n#include \"{}\"\n",
            kernels.display()
        );
        for name in &names {
            for number in ["f32", "f16", "bf16"] {
                unit.push_str(&format!(
                    "static emulated::Register r_{name}_{number}(\"runner\", \"{name}_{number}\", \
                     emulated::call<&{name}_{number}>);\n"
                ));
            }
        }
        let (unit_path, program) = (folder.join("kernels.cpp"), folder.join("kernels"));
        std::fs::write(&unit_path, unit).expect("written");
        let built = Command::new("c++")
            .args(["-std=c++20", "-O1", "-mf16c", "-w", "-I"])
            .arg(&card)
            .arg("-o")
            .arg(&program)
            .arg(&unit_path)
            .args(["threads.cpp", "standalone.cpp"].map(|name| card.join(name)))
            .output()
            .ok()?;
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(
            built.status.success(),
            "kernels.cu does not compile: {said}"
        );
        Some(names)
    }

    /// A tensor's bytes.
    fn bytes_of(tensor: &Tensor) -> Vec<u8> {
        let tensor = tensor.flatten_all().expect("flat");
        let mut bytes = Vec::new();
        match tensor.dtype() {
            DType::U8 => bytes = tensor.to_vec1::<u8>().expect("bytes"),
            DType::U32 => {
                let all = tensor.to_vec1::<u32>().expect("integers");
                bytes.extend(all.iter().flat_map(|one| one.to_le_bytes()));
            }
            DType::F32 => {
                let all = tensor.to_vec1::<f32>().expect("numbers");
                bytes.extend(all.iter().flat_map(|one| one.to_le_bytes()));
            }
            DType::F16 => {
                let all = tensor.to_vec1::<half::f16>().expect("numbers");
                bytes.extend(all.iter().flat_map(|one| one.to_le_bytes()));
            }
            _ => {
                let all = tensor.to_vec1::<half::bf16>().expect("numbers");
                bytes.extend(all.iter().flat_map(|one| one.to_le_bytes()));
            }
        }
        bytes
    }

    /// A launch of a sample's kernel as `standalone.cpp` reads it, and the type of what it makes.
    fn request(sample: &Sample) -> (Vec<u8>, DType) {
        let operation = &sample.operation;
        let made = sample.apply().expect("runs");
        let (out, inputs) = if sample.in_place {
            (bytes_of(&sample.inputs[0]), &sample.inputs[1..])
        } else {
            // What a kernel does not write is no number.
            (vec![0xff; bytes_of(&made).len()], sample.inputs.as_slice())
        };
        let shapes: Vec<&Shape> = inputs.iter().map(Tensor::shape).collect();
        let launch = Launch::new(operation, made.shape(), &shapes);
        let number = operation.number(made.dtype(), inputs[0].dtype());
        let name = format!("{}_{}", operation.kernel(), number.as_str());
        let mut buffers = vec![Some(out)];
        buffers.extend(inputs.iter().map(|input| Some(bytes_of(input))));
        match operation.beside() {
            Some(tensor) => buffers.push(Some(bytes_of(tensor))),
            None if launch.may_lack_one => buffers.push(None),
            None => {}
        }
        let mut all = Vec::new();
        all.extend((name.len() as u32).to_le_bytes());
        all.extend(name.bytes());
        all.extend((launch.rows as u32).to_le_bytes());
        all.extend(launch.threads.to_le_bytes());
        all.extend(((buffers.len() + launch.scalars.len()) as u32).to_le_bytes());
        for buffer in buffers {
            match buffer {
                None => all.push(2),
                Some(bytes) => {
                    all.push(0);
                    all.extend((bytes.len() as u64).to_le_bytes());
                    all.extend(bytes);
                }
            }
        }
        for scalar in launch.scalars {
            all.push(1);
            all.extend(match scalar {
                Scalar::Size(size) => size.to_le_bytes(),
                Scalar::Factor(factor) => factor.to_le_bytes(),
                Scalar::Threshold(threshold) => threshold.to_le_bytes(),
            });
        }
        (all, made.dtype())
    }

    /// Numbers of a type from their bytes, in f32.
    fn numbers_of(bytes: &[u8], dtype: DType) -> Vec<f32> {
        let kind = match dtype {
            DType::F32 => NumberType::F32,
            DType::F16 => NumberType::F16,
            _ => NumberType::BF16,
        };
        let mut all = Vec::new();
        kind.extend_f32(bytes, &mut all);
        all
    }

    /// The kernels' own source, run on the processor, with its threads in two orders: a barrier that
    /// is missing gives other numbers in one of them.
    #[test]
    fn kernels_compute_what_their_twins_do() {
        if !cfg!(all(target_arch = "x86_64", unix)) {
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let Some(names) = kernels_on_the_processor(folder.path()) else {
            eprintln!("no c++ here: the kernels themselves are not looked at");
            return;
        };
        let sampled = samples(&Device::Cpu, DType::F32).expect("samples");
        let sampled = sampled.iter().map(|one| one.operation.kernel().to_owned());
        assert_eq!(sampled.collect::<BTreeSet<String>>(), names);
        for order in ["forward", "reverse"] {
            let mut program = Command::new(folder.path().join("kernels"))
                .env("EMULATED_CARD_ORDER", order)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("starts");
            let mut input = program.stdin.take().expect("a pipe");
            let mut output = program.stdout.take().expect("a pipe");
            for dtype in [DType::F32, DType::BF16, DType::F16] {
                for sample in samples(&Device::Cpu, dtype).expect("samples") {
                    let operation = &sample.operation;
                    let twin = sample.apply().expect("runs");
                    let (request, made) = request(&sample);
                    input.write_all(&request).expect("written");
                    input.flush().expect("written");
                    let mut bytes = vec![0; bytes_of(&twin).len()];
                    let read = output.read_exact(&mut bytes);
                    assert!(read.is_ok(), "{operation:?} {dtype:?}: no answer");
                    let kernel = numbers_of(&bytes, made);
                    let twin = flat(&twin.to_dtype(DType::F32).expect("f32")).expect("numbers");
                    // A number may be rounded the other way, no more.
                    let tolerance = match made {
                        DType::F32 => 1e-5,
                        DType::BF16 => 1.0 / 128.0,
                        _ => 1.0 / 1024.0,
                    };
                    for (at, (twin, kernel)) in twin.iter().zip(&kernel).enumerate() {
                        assert!(
                            (twin - kernel).abs() <= tolerance * twin.abs().max(1.0),
                            "{operation:?} {dtype:?} {order}: {kernel} where {twin} is right, at {at}"
                        );
                    }
                }
            }
            drop(input);
            assert!(program.wait().expect("ends").success());
        }
    }
}
