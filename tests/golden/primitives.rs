//! Single ops with random upstream gradients against float64.

use pollster::block_on;
use webmae::kernels::Precision;
use webmae::model::position::sin_cos_2d;
use webmae::ops::{
    BatchNorm, Flatten, Heads, Target, argsort, attention, batch_norm, cross_entropy, layer_norm,
    linear, mlp, patchify, softmax,
};
use webmae::program::{Buffers, Program, Recorder, Tensor};
use webmae::{ModelConfig, Variant};

use crate::case::Case;
use crate::common::{device, max_abs, max_difference};

pub fn run(case: &Case) -> Vec<String> {
    let mut failures = mask_counts(case);
    for (group, description) in case.json["groups"].as_object().expect("groups") {
        let check = Group { case, group, description };
        let op = description["op"].as_str().expect("an op");
        failures.extend(match op {
            "layer_norm" => check.layer_norm(),
            "gelu" => check.gelu(),
            "softmax" => check.softmax(),
            "attention" => check.attention(),
            "linear" => check.linear(),
            "cross_entropy" | "soft-target cross entropy" => check.cross_entropy(),
            "batch_norm" => check.batch_norm(),
            "patchify" => check.patchify(),
            "2-D sin-cos position table" => check.sin_cos(),
            "random masking" => check.masking(),
            other => vec![format!("no test for op {other}")],
        });
    }
    failures
}

/// `len_keep` and `num_masked` for many sizes and ratios, as the reference code truncates them.
fn mask_counts(case: &Case) -> Vec<String> {
    let mut failures = Vec::new();
    for row in case.json["mask_counts"]["rows"].as_array().into_iter().flatten() {
        let number = |i: usize| row[i].as_f64().expect("a number");
        let [patches, keep, masked] = [0, 2, 3].map(|i| number(i) as usize);
        let mut config = ModelConfig::preset("tiny").expect("a preset");
        config.image_size = [4, 4 * patches];
        config.mask_ratio = number(1);
        let paper = config.len_keep();
        config.variant = Variant::Plain;
        let plain = config.num_masked();
        if (paper, plain) != (keep, masked) {
            failures.push(format!("mask counts {row}: kept {paper}, masked {plain}"));
        }
    }
    failures
}

struct Group<'a> {
    case: &'a Case,
    group: &'a str,
    description: &'a serde_json::Value,
}

/// A recording whose inputs are filled from the case and whose results are compared with it.
struct Bench<'a> {
    group: &'a Group<'a>,
    rec: Recorder,
    inputs: Vec<String>,
    results: Vec<String>,
}

impl<'a> Bench<'a> {
    fn new(group: &'a Group<'a>) -> Self {
        let rec = Recorder::new(device().target(), true);
        Self { group, rec, inputs: Vec::new(), results: Vec::new() }
    }

    fn input(&mut self, name: &str) -> Tensor {
        self.inputs.push(name.to_owned());
        let shape = self.group.tensor(name).shape.clone();
        self.rec.external(name, shape)
    }

    /// An input whose gradient is compared.
    fn variable(&mut self, name: &str) -> Tensor {
        let tensor = self.input(name);
        self.rec.require_grad(tensor);
        tensor
    }

    /// A parameter whose gradient is compared.
    fn param(&mut self, name: &str) -> Tensor {
        let tensor = self.input(name);
        let shape = self.rec.shape(tensor).to_vec();
        let grad = self.rec.external(&format!("d{name}"), shape);
        self.rec.clear_first(grad);
        self.rec.add_param(name, tensor, Some(grad));
        self.results.push(format!("d{name}"));
        tensor
    }

    fn result(&mut self, tensor: Tensor, name: &str) {
        self.rec.keep(tensor, name);
        self.results.push(name.to_owned());
    }

    /// Sends the case's gradient `dy_name` back from `y`; the gradients of `variables` are results.
    fn backward(&mut self, y: Tensor, dy_name: &str, variables: &[(Tensor, &str)]) {
        let dy = self.input(dy_name);
        self.rec.set_grad(y, dy);
        self.rec.backward();
        for &(variable, name) in variables {
            let grad = self.rec.grad(variable).expect("a gradient");
            self.result(grad, &format!("d{name}"));
        }
    }

    fn run(self) -> (Program, Vec<String>) {
        let program = Program::build(device(), &self.rec, &Buffers::new()).expect("a program");
        for name in &self.inputs {
            program.write(name, &self.group.tensor(name).data);
        }
        program.submit();
        (program, self.results)
    }

    /// Runs and compares every result.
    fn check(self) -> Vec<String> {
        let group = self.group;
        let (program, results) = self.run();
        let compare = |name: &String| {
            let actual: Vec<f32> = block_on(program.read(name)).expect("a result");
            group.compare(name, &actual)
        };
        results.iter().filter_map(compare).collect()
    }
}

impl Group<'_> {
    fn tensor(&self, name: &str) -> &webmae::tensor::HostTensor {
        self.case.tensor(&format!("{}.{name}", self.group))
    }

    fn has(&self, name: &str) -> bool {
        self.case.tensors.contains_key(&format!("{}.{name}", self.group))
    }

    fn compare(&self, name: &str, actual: &[f32]) -> Option<String> {
        let expected = &self.tensor(name).data;
        let own = self.case.own_error(&format!("{}.{name}", self.group));
        let limit = (20.0 * own).max(2e-6 * max_abs(expected).max(1.0));
        let difference = max_difference(actual, expected);
        let label = format!("{}.{name}", self.group);
        (!(difference <= limit)).then(|| format!("{label}: {difference:.3e} > {limit:.3e}"))
    }

    fn layer_norm(&self) -> Vec<String> {
        let eps = self.description["eps"].as_f64().expect("eps") as f32;
        let mut bench = Bench::new(self);
        let x = bench.variable("x");
        let (gamma, beta) = (bench.param("weight"), bench.param("bias"));
        let y = layer_norm(&mut bench.rec, x, gamma, beta, eps);
        bench.result(y, "y");
        bench.backward(y, "dy", &[(x, "x")]);
        bench.check()
    }

    fn linear(&self) -> Vec<String> {
        let mut bench = Bench::new(self);
        let x = bench.variable("x");
        let (weight, bias) = (bench.param("weight"), bench.param("bias"));
        let y = linear(&mut bench.rec, x, weight, Some(bias));
        bench.result(y, "y");
        bench.backward(y, "dy", &[(x, "x")]);
        bench.check()
    }

    /// GELU lives in the MLP's products: one of widths 1, 1 and 1 with unit weights is GELU alone.
    fn gelu(&self) -> Vec<String> {
        let mut bench = Bench::new(self);
        let x = bench.variable("x");
        let count = bench.rec.len(x);
        let column = bench.rec.external("column", [count, 1]);
        bench.rec.require_grad(column);
        let ones = bench.rec.external("ones", [1, 1]);
        let zeros = bench.rec.external("zeros", [1]);
        let shortcut = bench.rec.external("shortcut", [count, 1]);
        let y = mlp(&mut bench.rec, column, [ones, zeros], [ones, zeros], Some(shortcut), None);
        let dy = bench.rec.external("dy", [count, 1]);
        bench.rec.set_grad(y, dy);
        bench.rec.backward();
        bench.rec.keep(y, "y");
        let dx = bench.rec.grad(column).expect("a gradient");
        bench.rec.keep(dx, "dx");
        let program = Program::build(device(), &bench.rec, &Buffers::new()).expect("a program");
        program.write("column", &self.tensor("x").data);
        program.write("dy", &self.tensor("dy").data);
        program.write("ones", &[1.0_f32]);
        program.submit();
        let read = |name: &str| block_on(program.read::<f32>(name)).expect("a result");
        ["y", "dx"].into_iter().filter_map(|name| self.compare(name, &read(name))).collect()
    }

    fn softmax(&self) -> Vec<String> {
        let mut bench = Bench::new(self);
        let x = bench.variable("x");
        let y = softmax(&mut bench.rec, x);
        bench.result(y, "y");
        bench.backward(y, "dy", &[(x, "x")]);
        bench.check()
    }

    /// The reference has q, k and v apart, `[B, H, N, D]`; the op takes them fused,
    /// `[B, N, 3, H, D]`.
    fn attention(&self) -> Vec<String> {
        let &[b, h, n, d] = self.tensor("q").shape.as_slice() else { panic!("[B, H, N, D]") };
        let index = move |bi: usize, hi: usize, ni: usize| ((bi * h + hi) * n + ni) * d;
        let fused = |names: &[&str]| -> Vec<f32> {
            let mut out = Vec::new();
            for (bi, ni) in (0..b).flat_map(|bi| (0..n).map(move |ni| (bi, ni))) {
                for name in names {
                    for hi in 0..h {
                        let first = index(bi, hi, ni);
                        out.extend_from_slice(&self.tensor(name).data[first..first + d]);
                    }
                }
            }
            out
        };
        let mut rec = Recorder::new(device().target(), true);
        let qkv = rec.external("qkv", [b, n, 3 * h * d]);
        rec.require_grad(qkv);
        let o = attention(&mut rec, qkv, Heads { count: h, dim: d }, None);
        let d_o = rec.external("do", [b, n, h * d]);
        rec.keep(o, "o");
        rec.set_grad(o, d_o);
        rec.backward();
        let d_qkv = rec.grad(qkv).expect("a gradient");
        rec.keep(d_qkv, "dqkv");
        let program = Program::build(device(), &rec, &Buffers::new()).expect("a program");
        program.write("qkv", &fused(&["q", "k", "v"]));
        program.write("do", &fused(&["do"]));
        program.submit();
        let read = |name: &str| block_on(program.read::<f32>(name)).expect("a result");
        let apart = |data: &[f32], part: usize, parts: usize| -> Vec<f32> {
            let mut out = vec![0.0; b * h * n * d];
            for (bi, ni) in (0..b).flat_map(|bi| (0..n).map(move |ni| (bi, ni))) {
                for hi in 0..h {
                    let source = (((bi * n + ni) * parts + part) * h + hi) * d;
                    let target = index(bi, hi, ni);
                    out[target..target + d].copy_from_slice(&data[source..source + d]);
                }
            }
            out
        };
        let (o, d_qkv) = (read("o"), read("dqkv"));
        let mut failures: Vec<String> = self.compare("o", &apart(&o, 0, 1)).into_iter().collect();
        for (part, name) in ["dq", "dk", "dv"].into_iter().enumerate() {
            failures.extend(self.compare(name, &apart(&d_qkv, part, 3)));
        }
        failures
    }

    fn cross_entropy(&self) -> Vec<String> {
        let mut bench = Bench::new(self);
        let logits = bench.variable("logits");
        let soft = self.has("target");
        let target = if soft {
            Target::Soft(bench.input("target"))
        } else {
            let smoothing = self.description["label_smoothing"].as_f64().unwrap_or(0.0) as f32;
            let rows = bench.rec.shape(logits)[0];
            Target::Labels { labels: bench.rec.external("labels", [rows]), smoothing }
        };
        let loss = bench.rec.external("loss", [1]);
        bench.rec.clear_first(loss);
        let rows = bench.rec.shape(logits)[0];
        cross_entropy(&mut bench.rec, logits, target, rows, loss);
        let d_logits = bench.rec.grad(logits).expect("a gradient");
        bench.rec.keep(d_logits, "dlogits");
        let program = Program::build(device(), &bench.rec, &Buffers::new()).expect("a program");
        program.write("logits", &self.tensor("logits").data);
        if soft {
            program.write("target", &self.tensor("target").data);
        } else {
            let labels = self.tensor("labels").data.iter().map(|&l| l as u32);
            program.write("labels", &labels.collect::<Vec<_>>());
        }
        program.submit();
        let read = |name: &str| block_on(program.read::<f32>(name)).expect("a result");
        // The op is the last one: its upstream gradient is 1, the reference's may be another.
        let upstream = if self.has("dloss") { self.tensor("dloss").data[0] } else { 1.0 };
        let grad: Vec<f32> = read("dlogits").iter().map(|g| g * upstream).collect();
        let loss = self.compare("loss", &read("loss"));
        loss.into_iter().chain(self.compare("dlogits", &grad)).collect()
    }

    fn batch_norm(&self) -> Vec<String> {
        let mut bench = Bench::new(self);
        let x = bench.variable("x");
        let dim = bench.rec.shape(x)[1];
        let norm = BatchNorm {
            running_mean: bench.rec.external("running_mean", [dim]),
            running_var: bench.rec.external("running_var", [dim]),
            eps: self.description["eps"].as_f64().expect("eps") as f32,
            momentum: 0.1,
            train: true,
        };
        let y = batch_norm(&mut bench.rec, x, norm);
        bench.result(y, "y");
        bench.backward(y, "dy", &[(x, "x")]);
        bench.check()
    }

    fn patchify(&self) -> Vec<String> {
        let image = self.tensor("image");
        let patch = self.description["patch"].as_u64().expect("a patch size") as usize;
        let mut config = ModelConfig::preset("tiny").expect("a preset");
        config.channels = image.shape[1];
        config.image_size = [image.shape[2], image.shape[3]];
        config.patch_size = [patch; 2];
        let orders =
            [("channel_row_col", Flatten::ChannelFirst), ("row_col_channel", Flatten::ChannelLast)];
        let mut failures = Vec::new();
        for (name, flatten) in orders {
            let mut rec = Recorder::new(device().target(), false);
            let images = rec.external("images", image.shape.clone());
            let out = patchify(&mut rec, &config, images, flatten, Precision::F32, None);
            rec.keep(out, "out");
            let program = Program::build(device(), &rec, &Buffers::new()).expect("a program");
            program.write("images", &image.data);
            program.submit();
            let actual: Vec<f32> = block_on(program.read("out")).expect("patches");
            if actual != self.tensor(name).data {
                failures.push(format!("{}.{name} is not exact", self.group));
            }
        }
        failures
    }

    fn sin_cos(&self) -> Vec<String> {
        // The table's name ends in dim<D>grid<G>; its group is the tensor itself.
        let expected = self.case.tensor(self.group);
        let dim = expected.shape[1];
        let side = ((expected.shape[0] - 1) as f64).sqrt() as usize;
        let difference = max_difference(&sin_cos_2d(dim, [side; 2], 1), &expected.data);
        let failed = !(difference <= 2e-6);
        failed.then(|| format!("{}: {difference:.3e} > 2e-6", self.group)).into_iter().collect()
    }

    fn masking(&self) -> Vec<String> {
        let noise = self.tensor("noise");
        let keep = self.description["len_keep"].as_u64().expect("len_keep") as f32;
        let mut rec = Recorder::new(device().target(), false);
        let input = rec.external("noise", noise.shape.clone());
        let ids = argsort(&mut rec, input);
        rec.keep(ids.shuffle, "ids_shuffle");
        rec.keep(ids.restore, "ids_restore");
        let program = Program::build(device(), &rec, &Buffers::new()).expect("a program");
        program.write("noise", &noise.data);
        program.submit();
        let read = |name: &str| -> Vec<f32> {
            let ids: Vec<u32> = block_on(program.read(name)).expect("ids");
            ids.into_iter().map(|id| id as f32).collect()
        };
        let restore = read("ids_restore");
        let mask = restore.iter().map(|&rank| f32::from(u8::from(rank >= keep))).collect();
        let results =
            [("ids_shuffle", read("ids_shuffle")), ("mask", mask), ("ids_restore", restore)];
        let wrong = results.into_iter().filter(|(name, data)| *data != self.tensor(name).data);
        wrong.map(|(name, _)| format!("{}.{name} is not exact", self.group)).collect()
    }
}
