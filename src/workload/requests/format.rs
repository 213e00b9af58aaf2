//! The formats of request traces, and what their numbers mean unless somebody says otherwise.

/// A format, found by content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// CSV with `Timestamp`, `Request tokens`, `Response tokens`, perhaps `Session ID`.
    BurstGpt,
    /// CSV with `TIMESTAMP`, `ContextTokens`, `GeneratedTokens`.
    Azure,
    /// CSV with `arrived_at`, `num_prefill_tokens`, `num_decode_tokens`.
    Vidur,
    /// JSON lines with `timestamp`, `input_length`, `output_length`, `hash_ids`, and what aiperf
    /// and Dynamo add.
    Mooncake,
    /// JSON lines with `chat_id` and `parent_chat_id` too.
    Bailian,
    /// A JSON object per session with a list of `requests`.
    KvCacheTester,
    /// JSON lines whose `hash_ids` are lists by the kind of text.
    RagPulse,
}

impl Format {
    /// All of them.
    pub const ALL: [Format; 7] = [
        Format::BurstGpt,
        Format::Azure,
        Format::Vidur,
        Format::Mooncake,
        Format::Bailian,
        Format::KvCacheTester,
        Format::RagPulse,
    ];

    /// The word in files and for `--format`.
    pub fn word(self) -> &'static str {
        match self {
            Format::BurstGpt => "burstgpt",
            Format::Azure => "azure",
            Format::Vidur => "vidur",
            Format::Mooncake => "mooncake",
            Format::Bailian => "bailian",
            Format::KvCacheTester => "kv-cache-tester",
            Format::RagPulse => "ragpulse",
        }
    }

    /// The unit of its stamps; none where they are moments on a wall clock.
    pub fn time_unit(self) -> Option<TimeUnit> {
        match self {
            Format::Mooncake => Some(TimeUnit::Millis),
            Format::Azure => None,
            _ => Some(TimeUnit::Seconds),
        }
    }

    /// The tokens that one of its ids stands for; none where it has no ids, or ids of runs of
    /// different lengths.
    pub fn block_tokens(self) -> Option<u32> {
        match self {
            Format::Mooncake => Some(512),
            Format::Bailian => Some(16),
            Format::KvCacheTester => Some(64),
            Format::BurstGpt | Format::Azure | Format::Vidur | Format::RagPulse => None,
        }
    }
}

/// What a stamp counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
}

impl TimeUnit {
    /// The word in files and for `--time-unit`.
    pub fn word(self) -> &'static str {
        match self {
            TimeUnit::Seconds => "s",
            TimeUnit::Millis => "ms",
            TimeUnit::Micros => "us",
            TimeUnit::Nanos => "ns",
        }
    }

    /// The nanoseconds of one.
    pub fn ns(self) -> u64 {
        match self {
            TimeUnit::Seconds => 1_000_000_000,
            TimeUnit::Millis => 1_000_000,
            TimeUnit::Micros => 1_000,
            TimeUnit::Nanos => 1,
        }
    }
}
