//! Child processes: their log is kept and can be waited on, and they die with us.
//!
//! A test runner kills a test that takes too long, and then no destructor runs. So each child is started through util-linux' `setpriv --pdeathsig`: the kernel
//! signals it when the *thread* that started it ends. That thread must therefore live as long as the process: one spawner thread starts all children.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use crate::{Error, Result, lock};

/// How many lines of a child's log are kept; the oldest go first.
pub const LOG_LINES_MAX: usize = 20_000;

/// A running child whose output is collected.
pub struct Process {
    name: String,
    child: Child,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    state: Mutex<LogState>,
    changed: Condvar,
}

#[derive(Default)]
struct LogState {
    lines: VecDeque<String>,
    /// How many lines came, also those no longer kept.
    count: usize,
    /// How many of the child's two streams are still open.
    open_streams: usize,
}

/// What a wait for a log line ended with.
#[derive(Debug, PartialEq, Eq)]
pub enum Waited {
    /// The line.
    Line(String),
    /// The child closed its output: it is gone.
    Ended,
    /// The time was up.
    TimedOut,
}

impl Process {
    /// Starts `command`; stdout and stderr are collected as its log. `name` is for messages.
    pub fn start(name: &str, mut command: Command) -> Result<Process> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(command).map_err(Error::at(format!("starting {name}")))?;
        let log = Arc::new(Log::default());
        let streams: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|s| Box::new(s) as Box<dyn Read + Send>),
            child.stderr.take().map(|s| Box::new(s) as Box<dyn Read + Send>),
        ];
        for stream in streams.into_iter().flatten() {
            lock(&log.state).open_streams += 1;
            let log = Arc::clone(&log);
            std::thread::spawn(move || collect(stream, &log));
        }
        Ok(Process { name: name.to_string(), child, log })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How many lines the log has had so far: a mark for [`Process::wait_for_line`].
    pub fn log_mark(&self) -> usize {
        lock(&self.log.state).count
    }

    /// What is kept of the log.
    pub fn log(&self) -> String {
        let state = lock(&self.log.state);
        let mut text = String::new();
        for line in &state.lines {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Waits for a log line after `mark` for which `wanted` is true.
    pub fn wait_for_line(&self, mark: usize, timeout: Duration, wanted: impl Fn(&str) -> bool) -> Waited {
        let deadline = Instant::now() + timeout;
        let mut state = lock(&self.log.state);
        let mut seen = mark;
        loop {
            let first = state.count - state.lines.len();
            if let Some(line) = state.lines.iter().skip(seen.saturating_sub(first)).find(|l| wanted(l)) {
                return Waited::Line(line.clone());
            }
            seen = state.count;
            if state.open_streams == 0 {
                return Waited::Ended;
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return Waited::TimedOut };
            state = self.log.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Sends a signal by name, such as `INT`.
    pub fn signal(&self, name: &str) -> Result<()> {
        signal(self.id(), name)
    }

    /// Whether it has ended, and how.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for the end; an error after `timeout`.
    pub fn wait(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + timeout;
        // std has no wait with a timeout. A short poll of waitpid is the portable way without one more thread per child.
        loop {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return Err(Error::new(format!("{} did not end within {timeout:?}; its log:\n{}", self.name, self.log())));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// SIGKILL, and waits for the end.
    pub fn kill9(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.kill9();
        }
    }
}

/// Sends a signal by name to a process.
pub fn signal(pid: u32, name: &str) -> Result<()> {
    // The shell's builtin: a minimal Debian has no /bin/kill.
    let out = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &pid.to_string()]).output()?;
    if out.status.success() {
        Ok(())
    } else {
        Err(Error::new(format!("kill -{name} {pid}: {}", String::from_utf8_lossy(&out.stderr).trim())))
    }
}

/// A command that dies with us by `death_signal`, and runs as `user` if one is given (only root can).
pub fn bound_command(program: impl AsRef<std::ffi::OsStr>, death_signal: &str, user: Option<&str>) -> Command {
    let mut command = Command::new("setpriv");
    if let Some(user) = user {
        command.args(["--reuid", user, "--regid", user, "--init-groups"]);
    }
    command.args(["--pdeathsig", death_signal, "--"]).arg(program);
    command
}

/// Whether we are root.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}

/// Runs a command to its end; an error carries what it printed.
pub fn run(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let out = command.stdin(Stdio::null()).output().map_err(Error::at(&shown))?;
    succeeded(&shown, out)
}

/// The stdout of a command that succeeded, or an error with all it printed.
pub fn succeeded(shown: &str, out: Output) -> Result<String> {
    let stdout = String::from_utf8_lossy(&out.stdout).into_owned();
    if out.status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&out.stderr);
    Err(Error::new(format!("{shown} failed ({}):\n{}{}", out.status, stdout, stderr)))
}

/// Whether no such process runs; a zombie counts as gone.
pub fn is_gone(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('Z'))
}

/// Waits until none of these processes is there, for a bounded time. For those that are not our children.
pub fn wait_until_gone(pids: &[u32], timeout: Duration) {
    let until = Instant::now() + timeout;
    while !pids.iter().all(|pid| is_gone(*pid)) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The children of a process, by /proc.
pub fn children_of(pid: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let parent_of = |id: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // pid (comm) state ppid ...; comm may hold blanks and parentheses.
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).filter(|id| parent_of(*id) == Some(pid)).collect()
}

type SpawnRequest = (Command, mpsc::Sender<std::io::Result<Child>>);

/// Starts a child on the spawner thread.
fn spawn(command: Command) -> std::io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<SpawnRequest>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, requests) = mpsc::channel::<SpawnRequest>();
        std::thread::spawn(move || {
            for (mut command, answer) in requests {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    let (answer, child) = mpsc::channel();
    let gone = || std::io::Error::other("the spawner thread is gone");
    lock(spawner).send((command, answer)).map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}

fn collect(stream: impl Read, log: &Log) {
    let mut reader = BufReader::new(stream);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        // A line without an end is cut at 1 MiB, so that a child gone mad does not fill our memory.
        let read = (&mut reader).take(1 << 20).read_until(b'\n', &mut bytes);
        let mut state = lock(&log.state);
        if !matches!(read, Ok(n) if n > 0) {
            state.open_streams -= 1;
            log.changed.notify_all();
            return;
        }
        if state.lines.len() == LOG_LINES_MAX {
            state.lines.pop_front();
        }
        state.lines.push_back(String::from_utf8_lossy(&bytes).trim_end().to_string());
        state.count += 1;
        log.changed.notify_all();
    }
}
