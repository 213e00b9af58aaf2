//! The rules of the reference written down a second time, as plainly as they can be: users in
//! turn, two lists of objects, the least recently used one goes first. Nothing takes time.

use kvtrace::workload::Character;

use super::parity::Figures;

const BYTES_PER_TOKEN: u64 = 131_072;
/// What the two memory tiers hold up to their target, and the largest object that each takes.
const TARGETS: [f64; 2] = [0.8 * 16.0, 0.8 * 32.0];
const LARGEST: [f64; 2] = [0.95 * 16.0, 0.95 * 32.0];
const GIB: f64 = (1u64 << 30) as f64;

/// A run of the reference's rules.
pub struct Naive {
    random: u64,
    until_s: f64,
    /// Objects of the memory tiers, the one used longest ago first, with their bytes.
    tiers: [Vec<(usize, u64)>; 2],
    /// Where an object is.
    places: Vec<usize>,
    figures: Figures,
}

impl Naive {
    pub fn new(seed: u64, until_s: f64) -> Self {
        let tiers = [Vec::new(), Vec::new()];
        Self { random: seed, until_s, tiers, places: Vec::new(), figures: Figures::default() }
    }

    /// What these users do.
    pub fn run(mut self, users: &[Character]) -> Figures {
        let mut next: Vec<f64> = users.iter().map(|user| user.think_s * self.between(0.8, 1.2)).collect();
        let mut open: Vec<Vec<usize>> = vec![Vec::new(); users.len()];
        loop {
            let first = (0..users.len()).min_by(|a, b| next[*a].total_cmp(&next[*b])).expect("a user");
            if next[first] >= self.until_s {
                return self.figures;
            }
            if self.between(0.0, 1.0) < 0.2 || open[first].len() >= 50 {
                open[first].clear();
            }
            self.request(users[first], &mut open[first]);
            next[first] += users[first].think_s * self.between(0.8, 1.2);
        }
    }

    fn request(&mut self, user: Character, earlier: &mut Vec<usize>) {
        let context = self.whole(user.context / 4, user.context);
        let generation = self.whole(user.generation / 4, user.generation);
        earlier.iter().for_each(|object| self.read(*object));
        let object = self.places.len();
        self.places.push(2);
        self.figures.rows += 1.0;
        self.figures.writes += 1.0;
        self.figures.written_bytes += (context * BYTES_PER_TOKEN) as f64;
        self.put(object, context * BYTES_PER_TOKEN, 0);
        if context < 10_000 {
            (0..=generation.div_ceil(32)).for_each(|_| self.read(object));
        }
        earlier.push(object);
    }

    fn read(&mut self, object: usize) {
        let place = self.places[object];
        self.figures.rows += 1.0;
        self.figures.reads[place] += 1.0;
        if let Some(tier) = self.tiers.get_mut(place) {
            let at = tier.iter().position(|(other, _)| *other == object).expect("it is where it is");
            let entry = tier.remove(at);
            tier.push(entry);
        }
    }

    /// Puts an object into the first tier from `tier` on that takes it, and what goes for it into
    /// those below.
    fn put(&mut self, object: usize, bytes: u64, tier: usize) {
        self.places[object] = tier;
        if tier == 2 {
            return;
        }
        if bytes as f64 > LARGEST[tier] * GIB {
            return self.put(object, bytes, tier + 1);
        }
        let used = |tier: &Vec<(usize, u64)>| tier.iter().map(|(_, bytes)| bytes).sum::<u64>();
        while !self.tiers[tier].is_empty() && (used(&self.tiers[tier]) + bytes) as f64 > TARGETS[tier] * GIB {
            let (victim, victim_bytes) = self.tiers[tier].remove(0);
            self.figures.rows += 2.0;
            self.figures.evict_pairs += 1.0;
            self.put(victim, victim_bytes, tier + 1);
        }
        self.tiers[tier].push((object, bytes));
    }

    /// A 48-bit linear congruential generator, as POSIX has it; its high bits are good enough.
    fn between(&mut self, low: f64, high: f64) -> f64 {
        self.random = (self.random.wrapping_mul(0x5_DEEC_E66D).wrapping_add(11)) & ((1 << 48) - 1);
        low + (high - low) * self.random as f64 / (1u64 << 48) as f64
    }

    fn whole(&mut self, low: u64, high: u64) -> u64 {
        let low = low.max(1);
        low + self.between(0.0, (high - low + 1) as f64) as u64
    }
}
