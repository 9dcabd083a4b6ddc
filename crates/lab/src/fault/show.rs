//! Writes a rule as the line it is read from, all parameters spelled out.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use super::{Changing, Delay, DnsFault, DnsTrouble, Ending, Fault, Ratio, RetryAfter, Rule};

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)?;
        let scope = &self.scope;
        if scope.ratio != Ratio::ALL {
            write!(f, " ratio={}", f64::from(scope.ratio.millionths()) / 1e6)?;
        }
        if !scope.methods.is_empty() {
            write!(f, " methods={}", scope.methods.join(","))?;
        }
        if !scope.path.is_empty() {
            write!(f, " path={}", scope.path)?;
        }
        if let Some(range) = scope.range {
            write!(f, " range={range}")?;
        }
        if let Some(times) = scope.times {
            write!(f, " times={times}")?;
        }
        for other in &self.others {
            write!(f, "; {other}")?;
        }
        Ok(())
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self {
            Self::ResetInBody { at }
            | Self::Truncate { at }
            | Self::TruncateChunked { at }
            | Self::Stall { at } => at.fmt(f),
            Self::Trickle { bytes, every } => write!(f, " bytes={bytes} every={}", Ms(*every)),
            Self::Slow(Delay::Fixed(delay)) => write!(f, " fixed={}", Ms(*delay)),
            Self::Slow(Delay::Uniform(from, to)) => {
                write!(f, " uniform={}..{}", Ms(*from), Ms(*to))
            }
            Self::Slow(Delay::LogNormal { median, p99 }) => {
                write!(f, " median={} p99={}", Ms(*median), Ms(*p99))
            }
            Self::Status { code, executed } => write!(f, " code={code} executed={executed}"),
            Self::Throttle { code, retry_after } => {
                write!(f, " code={code} retry-after={retry_after}")
            }
            Self::CloseIdle { after, jitter, with, hint } => {
                let (after, jitter) = (Ms(*after), Ms(*jitter));
                write!(f, " after={after} jitter={jitter} with={with} hint={hint}")
            }
            Self::Dns(DnsFault { trouble, family }) => {
                trouble.fmt(f)?;
                family.map_or(Ok(()), |family| write!(f, " family={}", family.word()))
            }
            Self::H2PingPolicy { every } => write!(f, " every={}", Ms(*every)),
            Self::H2MaxStreams { n } => write!(f, " n={n}"),
            Self::CloseOnReuse { with } => write!(f, " with={with}"),
            Self::Garbage { bytes } => write!(f, " bytes={bytes}"),
            Self::Flap { up, down, fault } => {
                write!(f, " up={} down={} {fault}", Ms(*up), Ms(*down))
            }
            Self::Capacity { concurrency, service, queue, collapse } => {
                let service = Ms(*service);
                write!(
                    f,
                    " concurrency={concurrency} service={service} queue={queue} collapse={collapse}"
                )
            }
            Self::Cold { extra, lasting } => {
                write!(f, " extra={} for={}", Ms(*extra), Ms(*lasting))
            }
            Self::Changing(Changing { every, lies }) => {
                every.map_or(Ok(()), |every| write!(f, " every={}", Ms(every)))?;
                write!(f, " lies={lies}")
            }
            Self::Healthy
            | Self::Refuse
            | Self::Range(_)
            | Self::EtagWeak
            | Self::EtagNone
            | Self::Hang
            | Self::ResetBefore
            | Self::ResetAfterExecute
            | Self::CloseBefore
            | Self::ResetAfterHead
            | Self::StallHead
            | Self::H2RefuseStream
            | Self::Blackhole
            | Self::HalfDead
            | Self::Tls(_)
            | Self::H2GoAwayGraceful
            | Self::NotServing
            | Self::H2GoAway => Ok(()),
        }
    }
}

impl Fault {
    /// The word that its line begins with.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Refuse => "refuse",
            Self::Hang => "hang",
            Self::ResetBefore => "reset-before",
            Self::ResetAfterExecute => "reset-after-execute",
            Self::CloseBefore => "close-before",
            Self::ResetAfterHead => "reset-after-head",
            Self::ResetInBody { .. } => "reset-in-body",
            Self::Truncate { .. } => "truncate",
            Self::TruncateChunked { .. } => "truncate-chunked",
            Self::Stall { .. } => "stall",
            Self::StallHead => "stall-head",
            Self::Trickle { .. } => "trickle",
            Self::Slow(_) => "slow",
            Self::Status { .. } => "status",
            Self::Throttle { .. } => "throttle",
            Self::CloseIdle { .. } => "close-idle",
            Self::CloseOnReuse { .. } => "close-on-reuse",
            Self::Garbage { .. } => "garbage",
            Self::Flap { .. } => "flap",
            Self::Capacity { .. } => "capacity",
            Self::Cold { .. } => "cold",
            Self::Range(trouble) => trouble.word(),
            Self::EtagWeak => "etag-weak",
            Self::EtagNone => "etag-none",
            Self::Changing(_) => "changing",
            Self::H2RefuseStream => "h2-refuse-stream",
            Self::H2GoAway => "h2-goaway",
            Self::H2GoAwayGraceful => "h2-goaway-graceful",
            Self::NotServing => "not-serving",
            Self::H2PingPolicy { .. } => "h2-ping-policy",
            Self::H2MaxStreams { .. } => "h2-max-streams",
            Self::Blackhole => "blackhole",
            Self::HalfDead => "half-dead",
            Self::Tls(trouble) => trouble.word(),
            Self::Dns(fault) => fault.trouble.word(),
        }
    }
}

impl Display for DnsTrouble {
    /// The parameters that follow its word.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slow(by) => write!(f, " by={}", Ms(*by)),
            Self::Answer { a, aaaa } => {
                let list = |addresses: Vec<String>| addresses.join(",");
                if !a.is_empty() {
                    write!(f, " a={}", list(a.iter().map(ToString::to_string).collect()))?;
                }
                if !aaaa.is_empty() {
                    write!(f, " aaaa={}", list(aaaa.iter().map(ToString::to_string).collect()))?;
                }
                Ok(())
            }
            Self::NoSuchName
            | Self::NoData
            | Self::ServerFailure
            | Self::Refused
            | Self::Silence => Ok(()),
        }
    }
}

impl Display for Ending {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fin => "fin",
            Self::Drop => "close",
            Self::Reset => "rst",
        })
    }
}

impl Display for RetryAfter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("none"),
            Self::Seconds(seconds) => write!(f, "{seconds}"),
            Self::Date(seconds) => write!(f, "date+{seconds}"),
        }
    }
}

/// A length of time in milliseconds, with its fraction if it has one.
struct Ms(Duration);

impl Display for Ms {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0.as_micros() as f64 / 1e3)
    }
}
