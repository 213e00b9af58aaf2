//! What the rows of each request took, and whether all of them are in that.

use crate::measure::runs::RequestShare;

/// The rows of one request so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestRows {
    /// Sum of their service times.
    pub service_ns: u64,
    /// Sum of their response times.
    pub response_ns: u64,
    /// Rows that ended well.
    pub ended: u32,
    /// A row failed or was left out.
    pub failed: bool,
    /// A row was of a tier that is skipped.
    pub skipped: bool,
}

/// All requests, by their ordinals; allocated before the clock starts. Rows of requests beyond
/// them, and of none, are ignored.
#[derive(Clone, Debug, Default)]
pub struct PerRequest(Vec<RequestRows>);

impl PerRequest {
    /// Room for `requests` requests.
    pub fn new(requests: usize) -> Self {
        Self(vec![RequestRows::default(); requests])
    }

    /// A row ended well.
    pub fn ended(&mut self, request: Option<u64>, service_ns: u64, response_ns: u64) {
        self.change(request, |rows| {
            rows.service_ns += service_ns;
            rows.response_ns += response_ns;
            rows.ended += 1;
        });
    }

    /// A row failed or was left out.
    pub fn failed(&mut self, request: Option<u64>) {
        self.change(request, |rows| rows.failed = true);
    }

    /// A row was of a tier that is skipped.
    pub fn skipped(&mut self, request: Option<u64>) {
        self.change(request, |rows| rows.skipped = true);
    }

    /// What is known of a request.
    pub fn get(&self, request: u64) -> RequestRows {
        self.index(Some(request)).map_or_else(RequestRows::default, |index| self.0[index])
    }

    /// All of them, for adding them up over shards.
    pub fn shares(&self) -> impl Iterator<Item = (u64, RequestShare)> {
        self.0.iter().zip(0..).map(|(rows, request)| {
            let RequestRows { service_ns: storage_ns, response_ns, ended, failed, skipped } = *rows;
            (request, RequestShare { storage_ns, response_ns, rows: ended.into(), failed, skipped })
        })
    }

    /// What was added up.
    pub fn put(&mut self, request: u64, share: RequestShare) {
        let RequestShare { storage_ns: service_ns, response_ns, rows, failed, skipped } = share;
        let ended = u32::try_from(rows).unwrap_or(u32::MAX);
        self.change(Some(request), |mine| *mine = RequestRows { service_ns, response_ns, ended, failed, skipped });
    }

    /// Requests that there is room for.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    fn index(&self, request: Option<u64>) -> Option<usize> {
        usize::try_from(request?).ok().filter(|index| *index < self.0.len())
    }

    fn change(&mut self, request: Option<u64>, change: impl FnOnce(&mut RequestRows)) {
        if let Some(index) = self.index(request) {
            change(&mut self.0[index]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_add_up_and_strangers_are_ignored() {
        let mut requests = PerRequest::new(2);
        requests.ended(Some(1), 10, 30);
        requests.ended(Some(1), 5, 6);
        requests.ended(None, 99, 99);
        requests.ended(Some(u64::MAX), 99, 99);
        requests.failed(Some(0));
        let sum = RequestRows { service_ns: 15, response_ns: 36, ended: 2, ..RequestRows::default() };
        assert_eq!((requests.get(1), requests.get(2), requests.len()), (sum, RequestRows::default(), 2));
        assert!(requests.get(0).failed && requests.get(0).ended == 0);
    }
}
