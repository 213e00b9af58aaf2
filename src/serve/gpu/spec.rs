//! What is known of a GPU, and how long it then takes for a model: prefill is bounded by
//! arithmetic, decode by reading weights and context from memory.

use crate::model::{Model, Parameters};
use crate::units::{GIB, SECOND_NS};

/// The share of the peak arithmetic that a prefill reaches unless said otherwise. Published
/// figures lie around it: 40 to 55 % in vLLM and TensorRT-LLM reports on A100 and H100, up to 76 %
/// in Pope et al., "Efficiently Scaling Transformer Inference" (2022); this is our choice.
const DEFAULT_UTILISATION: f64 = 0.5;
/// Time of a step beside arithmetic and memory (scheduling, launching a captured graph,
/// sampling), in us: our choice, of the order that engines with CUDA graphs report.
const DEFAULT_STEP_OVERHEAD_US: f64 = 100.0;

/// The numbers of a GPU, or of a whole engine where they are measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GpuSpec {
    /// What it is called.
    pub name: String,
    /// Measured: prompt tokens computed a second, by the whole engine. Goes before `flops`.
    pub prefill_tokens_per_s: Option<f64>,
    /// Measured: time of a decode step that does not depend on the batch. Goes before memory.
    pub decode_step_us: Option<f64>,
    /// Measured: time that every request of the batch adds to a step.
    pub decode_us_per_request: Option<f64>,
    /// Measured: time that every resident token of context adds to a step.
    pub decode_ns_per_context_token: Option<f64>,
    /// Peak dense operations a second of one GPU, in the precision that is used.
    pub flops: Option<f64>,
    /// Share of the peak that is reached, above 0 up to 1.
    pub utilisation: Option<f64>,
    /// Memory bandwidth of one GPU, 1e9 bytes a second.
    pub hbm_gb_per_s: Option<f64>,
    /// Memory of one GPU, 1e9 bytes.
    pub hbm_gb: Option<f64>,
    /// Time of every prefill and decode step beside arithmetic and memory.
    pub step_overhead_us: Option<f64>,
    /// Its link to the host, 1e9 bytes a second in each direction.
    pub pcie_gb_per_s: Option<f64>,
    /// Requests that its engine runs at a time.
    pub max_num_seqs: Option<u32>,
    /// The sha256 of the file that it was read from, in hex.
    pub sha256: Option<String>,
}

/// How long an engine takes, in whole numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speed {
    /// What the GPU is called.
    pub name: String,
    /// The sha256 of the file that described it, in hex.
    pub sha256: Option<String>,
    /// Time of a computed token of a prompt, ps.
    pub prefill_ps_per_token: u64,
    /// What a prefill takes at least: its weights are read once.
    pub prefill_floor_ns: u64,
    /// Time of a decode step without its context, by the requests in the batch; index 0 is not
    /// used. Never falls, and never 0.
    pub step_ns: Vec<u64>,
    /// Bytes of resident context read a second by one rank; none reads them in no time.
    pub context_bytes_per_s: Option<u64>,
    /// What one rank's memory holds beside the weights, where both are known. Requests run even
    /// if they hold more, as this simulation has no preemption; the statistics say so.
    pub context_room_bytes: Option<u64>,
}

impl GpuSpec {
    /// The GPUs that are known by name: SXM modules of 80 GB (A100), 80 GB (H100) and 141 GB
    /// (H200), with their data sheets' dense BF16 peak (312, 989 and 989 TFLOP/s), memory
    /// bandwidth (2,039 GB/s, 3.35 and 4.8 TB/s) and link (PCIe 4.0 x16 and 5.0 x16, 31.5 and
    /// 63 GB/s in each direction after 128b/130b).
    pub fn preset(name: &str) -> Option<Self> {
        let (flops, hbm_gb_per_s, hbm_gb, pcie_gb_per_s) = match name {
            "a100" => (312e12, 2039.0, 80.0, 31.5),
            "h100" => (989e12, 3350.0, 80.0, 63.0),
            "h200" => (989e12, 4800.0, 141.0, 63.0),
            _ => return None,
        };
        Some(Self {
            name: name.to_owned(),
            flops: Some(flops),
            hbm_gb_per_s: Some(hbm_gb_per_s),
            hbm_gb: Some(hbm_gb),
            pcie_gb_per_s: Some(pcie_gb_per_s),
            ..Self::default()
        })
    }

    /// How long an engine of `ranks` such GPUs takes for a model. Ranks share all work evenly and
    /// exchange in no time.
    ///
    /// - prefill: tokens × 2 × active weights ÷ (peak × utilisation × ranks), and at least one
    ///   reading of the weights; attention to earlier tokens is left out;
    /// - a decode step of a batch: the longer of reading its weights and of their arithmetic,
    ///   then reading the resident context of all its requests, and the overhead.
    ///
    /// # Errors
    /// What is missing, in words; weights and cache that do not fit into the memory.
    pub fn speed(&self, model: &Model, ranks: u32, batch: u32, cache_gib: f64) -> Result<Speed, String> {
        self.fits(model, ranks, cache_gib)?;
        let hardware = Hardware { spec: self, weights: model.parameters, ranks: f64::from(ranks) };
        let overhead_ns = self.step_overhead_us.unwrap_or(DEFAULT_STEP_OVERHEAD_US) * 1e3;
        let prefill_ns_per_token = match self.prefill_tokens_per_s {
            Some(rate) => SECOND_NS as f64 / rate,
            None => hardware.arithmetic_ns(1.0).ok_or_else(|| self.lacks(model, "prefill_tokens_per_s", "flops"))?,
        };
        let floor_ns = match self.prefill_tokens_per_s {
            Some(_) => 0.0,
            None => hardware.weights_ns(1).unwrap_or(0.0) + overhead_ns,
        };
        let step = |batch: u32| match self.decode_step_us {
            Some(us) => Some(us * 1e3 + f64::from(batch) * self.decode_us_per_request.unwrap_or(0.0) * 1e3),
            None => {
                let compute_ns = hardware.arithmetic_ns(f64::from(batch)).unwrap_or(0.0);
                Some(hardware.weights_ns(batch.into())?.max(compute_ns) + overhead_ns)
            }
        };
        let steps: Option<Vec<u64>> = (0..=batch).map(|batch| Some(whole(step(batch)?).max(1))).collect();
        Ok(Speed {
            name: self.name.clone(),
            sha256: self.sha256.clone(),
            prefill_ps_per_token: whole(prefill_ns_per_token * 1e3),
            prefill_floor_ns: whole(floor_ns),
            step_ns: steps.ok_or_else(|| self.lacks(model, "decode_step_us", "hbm_gb_per_s"))?,
            context_bytes_per_s: self.context_rate(model, ranks),
            context_room_bytes: self.room_gb(model, ranks).map(|gb| whole(gb * 1e9)),
        })
    }

    /// Bytes of one rank's context that are read a second.
    fn context_rate(&self, model: &Model, ranks: u32) -> Option<u64> {
        let bytes_of_rank = model.bytes_per_token() as f64 / f64::from(ranks);
        let rate = match self.decode_ns_per_context_token {
            Some(ns) => bytes_of_rank * SECOND_NS as f64 / ns,
            None => self.hbm_gb_per_s? * 1e9,
        };
        (rate.is_finite() && rate < u64::MAX as f64).then(|| whole(rate).max(1))
    }

    fn lacks(&self, model: &Model, measured: &str, hardware: &str) -> String {
        match model.parameters {
            None => format!(
                "--gpu-model {}: {} does not say how many weights it has; give a FILE with {measured}",
                self.name, model.name
            ),
            Some(_) => format!("--gpu-model {}: neither {measured} nor {hardware} is given", self.name),
        }
    }

    /// Memory of one GPU beside its share of the weights, 1e9 bytes.
    fn room_gb(&self, model: &Model, ranks: u32) -> Option<f64> {
        Some(self.hbm_gb? - model.parameters?.weight_bytes as f64 / f64::from(ranks) / 1e9)
    }

    /// Whether the weights and the cache of one GPU find room in its memory.
    fn fits(&self, model: &Model, ranks: u32, cache_gib: f64) -> Result<(), String> {
        let (Some(hbm_gb), Some(room_gb)) = (self.hbm_gb, self.room_gb(model, ranks)) else { return Ok(()) };
        let weights_gb = hbm_gb - room_gb;
        if room_gb <= 0.0 {
            return Err(format!(
                "--gpu-model {}: its {hbm_gb} GB do not hold the {weights_gb:.1} GB of weights that each of \
                 --tensor-parallel {ranks} has of {}; raise --num-gpus and --tensor-parallel",
                self.name, model.name
            ));
        }
        let room_gib = room_gb * 1e9 / GIB as f64;
        if cache_gib > room_gib {
            return Err(format!(
                "--gpu-mem-gb {cache_gib}: beside {weights_gb:.1} GB of weights of {} the {hbm_gb} GB of --gpu-model \
                 {} have room for {room_gib:.1}; lower it, or raise --num-gpus and --tensor-parallel",
                model.name, self.name
            ));
        }
        Ok(())
    }
}

/// What one step of an engine takes by the hardware's numbers.
struct Hardware<'a> {
    spec: &'a GpuSpec,
    weights: Option<Parameters>,
    ranks: f64,
}

impl Hardware<'_> {
    /// Two operations a weight and token (Kaplan et al., "Scaling Laws", 2020).
    fn arithmetic_ns(&self, tokens: f64) -> Option<f64> {
        let per_s = self.spec.flops? * self.spec.utilisation.unwrap_or(DEFAULT_UTILISATION) * self.ranks;
        Some(tokens * 2.0 * self.weights?.active as f64 / per_s * SECOND_NS as f64)
    }

    fn weights_ns(&self, tokens: u64) -> Option<f64> {
        Some(self.weights?.read_bytes(tokens) / (self.spec.hbm_gb_per_s? * self.ranks))
    }
}

fn whole(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str) -> Model {
        Model::resolve(name, None).unwrap()
    }

    #[test]
    fn one_request_of_8b_on_an_h100_is_bound_by_its_weights() {
        let speed = GpuSpec::preset("h100").unwrap().speed(&model("llama3.1-8b"), 1, 256, 16.0).unwrap();
        // 16.0605 GB at 3,350 GB/s are 4.7942 ms, and 0.1 ms beside them.
        assert_eq!(speed.step_ns[1], 4_894_186);
        // 2 x 8.030261248e9 / (989e12 / 2) s.
        assert_eq!(speed.prefill_ps_per_token, 32_478_306);
        assert_eq!(speed.prefill_floor_ns, speed.step_ns[1]);
        // 148 tokens of arithmetic take longer than the weights.
        assert_eq!((speed.step_ns[147], speed.step_ns[148]), (4_894_186, 100_000 + 4_806_789));
        assert_eq!(speed.context_bytes_per_s, Some(3_350_000_000_000));
        assert_eq!(speed.context_room_bytes, Some(80_000_000_000 - 16_060_522_496));
    }

    #[test]
    fn ranks_share_the_work() {
        let speed = |ranks| GpuSpec::preset("h200").unwrap().speed(&model("llama3.1-8b"), ranks, 4, 16.0).unwrap();
        let (one, four) = (speed(1), speed(4));
        assert_eq!(one.step_ns[1] - 100_000, 3_345_942);
        assert_eq!(four.step_ns[1] - 100_000, 836_486);
        assert_eq!(four.prefill_ps_per_token, (one.prefill_ps_per_token + 2) / 4);
    }

    #[test]
    fn a_mixture_reads_more_of_its_experts_the_larger_its_batch() {
        let speed = GpuSpec::preset("h200").unwrap().speed(&model("gpt-oss-120b"), 1, 64, 16.0).unwrap();
        assert!(speed.step_ns[1] < 100_000 + 700_000, "{}", speed.step_ns[1]);
        assert!(speed.step_ns.windows(2).skip(1).all(|pair| pair[0] <= pair[1]));
        assert!(speed.step_ns[64] > 10 * speed.step_ns[1], "{}", speed.step_ns[64]);
    }

    #[test]
    fn what_does_not_fit_or_is_not_known_is_said() {
        let h100 = GpuSpec::preset("h100").unwrap();
        let refused = |name: &str, ranks, cache| h100.speed(&model(name), ranks, 1, cache).unwrap_err();
        assert!(refused("llama3.1-70b-instruct", 1, 16.0).contains("--tensor-parallel"));
        assert!(refused("llama3.1-70b-instruct", 2, 16.0).contains("--gpu-mem-gb 16"));
        assert!(h100.speed(&model("llama3.1-70b-instruct"), 4, 1, 16.0).is_ok());
        assert!(refused("bytes:1000", 1, 16.0).contains("prefill_tokens_per_s"));
        let measured = GpuSpec {
            name: "ours".to_owned(),
            prefill_tokens_per_s: Some(10_000.0),
            decode_step_us: Some(5_000.0),
            decode_us_per_request: Some(20.0),
            decode_ns_per_context_token: Some(2.0),
            ..GpuSpec::default()
        };
        let speed = measured.speed(&model("bytes:1000"), 2, 8, 16.0).unwrap();
        assert_eq!((speed.prefill_ps_per_token, speed.prefill_floor_ns), (100_000_000, 0));
        assert_eq!((speed.step_ns[1], speed.step_ns[8]), (5_020_000, 5_160_000));
        // One rank's 500 bytes of a token in 2 ns.
        assert_eq!(speed.context_bytes_per_s, Some(250_000_000_000));
    }
}
