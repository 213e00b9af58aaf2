//! How many weights a model has, and how many of them a token needs: what the time that a GPU
//! takes follows from.

/// The weights of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// All of them.
    pub total: u64,
    /// Those that one token is multiplied with: fewer than all in a mixture of experts.
    pub active: u64,
    /// Bytes that all of them take in memory, as the model is published.
    pub weight_bytes: u64,
    /// Whether they were estimated from the shape of the model rather than published.
    pub estimated: bool,
}

impl Parameters {
    /// The bytes of weights that a step reads which computes `tokens` tokens: all of a dense
    /// model; in a mixture of experts those that at least one token is routed to. Routing is
    /// taken to be even and independent, so that a weight is left out by one token with
    /// probability 1 − active / total, and by all of them with that to the power of `tokens`.
    pub fn read_bytes(&self, tokens: u64) -> f64 {
        let left_out_by_one = 1.0 - self.active as f64 / self.total as f64;
        self.weight_bytes as f64 * (1.0 - power(left_out_by_one, tokens))
    }
}

/// `base` to a whole power by squaring: multiplications only, which give the same bits anywhere.
fn power(mut base: f64, mut exponent: u64) -> f64 {
    let mut result = 1.0;
    while exponent > 0 {
        if exponent % 2 == 1 {
            result *= base;
        }
        base *= base;
        exponent /= 2;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dense_model_reads_all_its_weights_in_every_step() {
        let dense = Parameters { total: 8, active: 8, weight_bytes: 16, estimated: false };
        assert_eq!([1, 2, 100].map(|tokens| dense.read_bytes(tokens)), [16.0; 3]);
    }

    #[test]
    fn more_tokens_reach_more_experts() {
        let mixture = Parameters { total: 100, active: 25, weight_bytes: 1000, estimated: false };
        // 3/4 are left out by one token, 9/16 by two.
        assert_eq!([1, 2].map(|tokens| mixture.read_bytes(tokens)), [250.0, 437.5]);
        assert!(mixture.read_bytes(100) > 999.9);
    }
}
