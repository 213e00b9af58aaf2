//! Who started this process beside others: rank and size from a launcher's environment, or as
//! typed.

use std::str::FromStr;

use crate::error::{Error, Result};
use crate::measure::runs::Shard;

/// More ranks than any launcher starts.
const MOST: u32 = 1 << 20;

/// Says how many shards there are where a launcher does not.
const COUNT: &str = "KVTRACE_SHARD_COUNT";

/// What `--shard` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardChoice {
    /// This one of so many.
    Part {
        /// From 0.
        index: u32,
        /// Of how many.
        count: u32,
    },
    /// What this launcher says, whatever others do.
    Launcher(Launcher),
}

/// A launcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Launcher {
    /// Open MPI's mpirun.
    OpenMpi,
    /// MPICH's Hydra, Intel MPI and whatever else speaks PMI.
    Pmi,
    /// Whatever speaks PMIx.
    Pmix,
    /// srun.
    Slurm,
    /// An indexed Job.
    Kubernetes,
}

impl Launcher {
    const ALL: [Launcher; 5] =
        [Launcher::OpenMpi, Launcher::Pmi, Launcher::Slurm, Launcher::Pmix, Launcher::Kubernetes];

    fn word(self) -> &'static str {
        match self {
            Launcher::OpenMpi => "openmpi",
            Launcher::Pmi => "pmi",
            Launcher::Pmix => "pmix",
            Launcher::Slurm => "slurm",
            Launcher::Kubernetes => "kubernetes",
        }
    }

    /// The variable with the rank (Open MPI: mpirun(1), "Exported environment"; MPICH: Hydra's
    /// pmi_v1; PMIx: the standard's reserved `PMIX_RANK`; srun(1), "Output environment variables";
    /// Kubernetes: indexed Jobs).
    fn rank(self) -> &'static str {
        match self {
            Launcher::OpenMpi => "OMPI_COMM_WORLD_RANK",
            Launcher::Pmi => "PMI_RANK",
            Launcher::Pmix => "PMIX_RANK",
            Launcher::Slurm => "SLURM_PROCID",
            Launcher::Kubernetes => "JOB_COMPLETION_INDEX",
        }
    }

    /// The variables with the size, the better one first; none where the launcher sets none.
    fn size(self) -> &'static [&'static str] {
        match self {
            Launcher::OpenMpi => &["OMPI_COMM_WORLD_SIZE"],
            Launcher::Pmi => &["PMI_SIZE"],
            Launcher::Slurm => &["SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"],
            Launcher::Pmix | Launcher::Kubernetes => &[],
        }
    }
}

impl FromStr for ShardChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(launcher) = Launcher::ALL.into_iter().find(|launcher| launcher.word() == text) {
            return Ok(ShardChoice::Launcher(launcher));
        }
        let wrong = || {
            format!("`{text}` is not a shard; write 0/2 for the first of two, or openmpi, pmi, pmix, slurm, kubernetes")
        };
        let (index, count) = text.split_once('/').ok_or_else(wrong)?;
        let (index, count) = (index.parse::<u32>().map_err(|_| wrong())?, count.parse::<u32>().map_err(|_| wrong())?);
        match (1..=MOST).contains(&count) && index < count {
            true => Ok(ShardChoice::Part { index, count }),
            false => Err(format!("there is no shard {text}: shards of {count} are numbered from 0 to one less")),
        }
    }
}

/// A variable and what it says.
type Said = (&'static str, u32);

/// What one launcher's variables say.
struct Claim {
    launcher: Launcher,
    rank: Said,
    size: Said,
}

/// The shard that this process is to replay; none for all of the trace. `count` is how many there
/// are, as typed, and `env` is the environment.
///
/// # Errors
/// A half-set or contradictory environment, naming the variables.
pub fn shard(
    choice: Option<&ShardChoice>,
    count: Option<u32>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Shard>> {
    let of_several = |shard: Shard| Some(shard).filter(|shard| shard.count > 1);
    if let Some(&ShardChoice::Part { index, count: of }) = choice {
        if count.is_some_and(|count| count != of) {
            return Err(Error::usage("--shard and --shard-count name different numbers of shards; leave one out"));
        }
        return Ok(of_several(Shard { index, count: of, source: "--shard".to_owned() }));
    }
    let only = match choice {
        Some(ShardChoice::Launcher(launcher)) => Some(*launcher),
        _ => None,
    };
    let environment = Environment { count: given_count(count, env)?, env };
    let wanted = Launcher::ALL.into_iter().filter(|launcher| only.is_none_or(|only| only == *launcher));
    let claims = wanted.filter_map(|launcher| environment.claim(launcher).transpose()).collect::<Result<Vec<_>>>()?;
    match (agreed(&claims)?, only, environment.count) {
        (Some(claim), ..) => Ok(of_several(claim.shard())),
        (None, Some(only), _) => Err(Error::usage(format!(
            "--shard {}: {} is not set, so that launcher did not start this process; write --shard 0/2",
            only.word(),
            only.rank()
        ))),
        (None, None, Some((name, _))) => Err(Error::usage(format!(
            "{name} says how many shards there are, and nothing says which one this is; write --shard 0/2, or start \
             it from a launcher"
        ))),
        (None, None, None) => Ok(None),
    }
}

fn given_count(typed: Option<u32>, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<Said>> {
    match typed {
        Some(count) if (1..=MOST).contains(&count) => Ok(Some(("--shard-count", count))),
        Some(count) => Err(Error::usage(format!("--shard-count {count}: from 1 to {MOST}"))),
        None => number(COUNT, env),
    }
}

struct Environment<'a> {
    count: Option<Said>,
    env: &'a dyn Fn(&str) -> Option<String>,
}

impl Environment<'_> {
    fn claim(&self, launcher: Launcher) -> Result<Option<Claim>> {
        if launcher == Launcher::Slurm && self.is_batch_script() {
            return Ok(None);
        }
        let rank = number(launcher.rank(), self.env)?;
        let mut sizes = launcher.size().iter().map(|name| number(name, self.env));
        let size = sizes.find_map(Result::transpose).transpose()?;
        // SLURM names the size in every allocation, in a rank's place or not.
        let (rank, size) = match (rank, size) {
            (None, None) => return Ok(None),
            (None, Some(_)) if launcher == Launcher::Slurm => return Ok(None),
            (None, Some((name, _))) => return Err(half_set(name, launcher.rank())),
            (Some(rank), Some(size)) => (rank, size),
            (Some(rank), None) if launcher.size().is_empty() => {
                (rank, self.size_elsewhere()?.ok_or_else(|| half_set(rank.0, COUNT))?)
            }
            (Some((name, _)), None) => return Err(half_set(name, launcher.size()[0])),
        };
        if size.1 == 0 || size.1 > MOST || rank.1 >= size.1 {
            return Err(Error::usage(format!(
                "{}={} and {}={} contradict each other: ranks are numbered from 0; write --shard 0/2",
                rank.0, rank.1, size.0, size.1
            )));
        }
        if let Some(given) = self.count.filter(|given| given.1 != size.1) {
            return Err(Error::usage(format!(
                "{} {} and {}={} contradict each other; leave {} out",
                given.0, given.1, size.0, size.1, given.0
            )));
        }
        Ok(Some(Claim { launcher, rank, size }))
    }

    /// A batch script has a rank's variables although it is run once; only a step has ranks.
    fn is_batch_script(&self) -> bool {
        let is_set = |name: &str| (self.env)(name).is_some();
        is_set("SLURM_JOB_ID") && !is_set("SLURM_STEP_ID") && !is_set("SLURM_STEPID")
    }

    /// How many ranks there are, for a launcher that names only the rank.
    fn size_elsewhere(&self) -> Result<Option<Said>> {
        if self.count.is_some() {
            return Ok(self.count);
        }
        let names = Launcher::ALL.into_iter().flat_map(Launcher::size);
        names.map(|name| number(name, self.env)).find_map(Result::transpose).transpose()
    }
}

impl Claim {
    fn shard(&self) -> Shard {
        let source = format!("{} ({}, {})", self.launcher.word(), self.rank.0, self.size.0);
        Shard { index: self.rank.1, count: self.size.1, source }
    }

    fn words(&self) -> String {
        format!("{}={} of {}={}", self.rank.0, self.rank.1, self.size.0, self.size.1)
    }
}

/// The first of several launchers that say the same.
fn agreed(claims: &[Claim]) -> Result<Option<&Claim>> {
    let Some(first) = claims.first() else { return Ok(None) };
    match claims.iter().find(|claim| (claim.rank.1, claim.size.1) != (first.rank.1, first.size.1)) {
        None => Ok(Some(first)),
        Some(other) => Err(Error::usage(format!(
            "two launchers contradict each other: {} and {}; write --shard {} or --shard {} to believe one, or --shard \
             0/1 for the whole trace",
            first.words(),
            other.words(),
            first.launcher.word(),
            other.launcher.word()
        ))),
    }
}

fn half_set(there: &str, missing: &str) -> Error {
    let way_out = if missing == COUNT { "set it, or write --shard-count N" } else { "write --shard 0/2" };
    Error::usage(format!("{there} is set and {missing} is not, so that the shard is not known; {way_out}"))
}

fn number(name: &'static str, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<Said>> {
    let Some(text) = env(name) else { return Ok(None) };
    match text.trim().parse::<u32>() {
        Ok(number) => Ok(Some((name, number))),
        Err(_) => Err(Error::usage(format!("{name}={text} is not a number; write --shard 0/2, or 0/1 for all"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(choice: Option<&str>, count: Option<u32>, env: &[(&str, &str)]) -> Result<Option<(u32, u32)>> {
        let choice = choice.map(|text| text.parse().unwrap());
        let get = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        shard(choice.as_ref(), count, &get).map(|found| found.map(|shard| (shard.index, shard.count)))
    }

    fn refused(choice: Option<&str>, count: Option<u32>, env: &[(&str, &str)]) -> String {
        find(choice, count, env).unwrap_err().to_string()
    }

    #[test]
    fn every_launcher_is_understood() {
        let cases: [&[(&str, &str)]; 6] = [
            &[("OMPI_COMM_WORLD_RANK", "1"), ("OMPI_COMM_WORLD_SIZE", "3"), ("PMIX_RANK", "1")],
            &[("PMI_RANK", "1"), ("PMI_SIZE", "3")],
            &[("SLURM_PROCID", "1"), ("SLURM_NTASKS", "3")],
            &[("SLURM_JOB_ID", "7"), ("SLURM_STEP_ID", "0"), ("SLURM_PROCID", "1"), ("SLURM_STEP_NUM_TASKS", "3")],
            &[("JOB_COMPLETION_INDEX", "1"), ("KVTRACE_SHARD_COUNT", "3")],
            &[("PMIX_RANK", "1"), ("SLURM_NTASKS", "3")],
        ];
        for case in cases {
            assert_eq!(find(None, None, case).unwrap(), Some((1, 3)), "{case:?}");
        }
        assert_eq!(find(None, Some(3), &[("JOB_COMPLETION_INDEX", "2")]).unwrap(), Some((2, 3)));
        assert_eq!(find(None, None, &[]).unwrap(), None);
    }

    #[test]
    fn one_rank_or_none_is_the_whole_trace() {
        assert_eq!(find(None, None, &[("PMI_RANK", "0"), ("PMI_SIZE", "1")]).unwrap(), None);
        // An allocation, and the script that runs in it, are no ranks.
        assert_eq!(find(None, None, &[("SLURM_NTASKS", "4")]).unwrap(), None);
        let script = [("SLURM_JOB_ID", "7"), ("SLURM_PROCID", "0"), ("SLURM_NTASKS", "4")];
        assert_eq!(find(None, None, &script).unwrap(), None);
        let env = [("PMI_RANK", "1"), ("PMI_SIZE", "4")];
        assert_eq!(find(Some("0/1"), None, &env).unwrap(), None);
        assert_eq!(find(Some("1/2"), None, &env).unwrap(), Some((1, 2)));
    }

    #[test]
    fn half_set_and_contradictory_environments_are_named() {
        let said = refused(None, None, &[("OMPI_COMM_WORLD_RANK", "1")]);
        assert!(said.contains("OMPI_COMM_WORLD_RANK") && said.contains("OMPI_COMM_WORLD_SIZE"), "{said}");
        assert!(refused(None, None, &[("PMI_SIZE", "2")]).contains("PMI_RANK"));
        assert!(refused(None, None, &[("JOB_COMPLETION_INDEX", "0")]).contains("--shard-count"));
        assert!(refused(None, None, &[("PMI_RANK", "2"), ("PMI_SIZE", "2")]).contains("numbered from 0"));
        assert!(refused(None, None, &[("PMI_RANK", "x"), ("PMI_SIZE", "2")]).contains("PMI_RANK=x"));
        assert!(refused(None, Some(3), &[("PMI_RANK", "0"), ("PMI_SIZE", "2")]).contains("--shard-count"));
        assert!(refused(None, Some(3), &[]).contains("which one"));
        let two = [("OMPI_COMM_WORLD_RANK", "0"), ("OMPI_COMM_WORLD_SIZE", "2"), ("PMI_RANK", "1"), ("PMI_SIZE", "2")];
        let said = refused(None, None, &two);
        assert!(said.contains("OMPI_COMM_WORLD_RANK=0") && said.contains("PMI_RANK=1"), "{said}");
        assert_eq!(find(Some("pmi"), None, &two).unwrap(), Some((1, 2)));
        assert!(refused(Some("slurm"), None, &two).contains("SLURM_PROCID"));
    }

    #[test]
    fn shards_as_people_write_them() {
        for text in ["", "2", "2/2", "0/0", "-1/2", "a/b", "0/9999999999", "mpi"] {
            assert!(text.parse::<ShardChoice>().is_err(), "{text}");
        }
    }
}
