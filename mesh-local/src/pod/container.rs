//! A container's life: started, asked whether it is ready, started again.

use std::convert::Infallible;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::life::Pod;
use super::status::{ContainerState, ContainerStatus};
use crate::back_off::{BackOff, describe};
use crate::error::Result;
use crate::host::{Process, Program, User};
use crate::manifest::RestartPolicy;
use crate::plan::{Check, ContainerPlan, Role, expand};
use crate::stop::{Stop, Stopped};

/// Between two questions to a container that is not ready yet.
const POLL: Duration = Duration::from_millis(25);
/// A program that cannot run ends sooner than this; without a probe, what is still there
/// counts as ready.
const SETTLED: Duration = Duration::from_millis(300);
/// A container that was ready may miss this many answers, as in Kubernetes.
const FAILURES: u32 = 3;

/// A container of a running pod.
#[derive(Debug)]
pub(super) struct Container<'a> {
    pub(super) pod: &'a Pod,
    pub(super) plan: &'a ContainerPlan,
    pub(super) sandbox: u32,
}

impl Container<'_> {
    /// Runs to a good end, however often that takes.
    pub(super) async fn run_to_end(&self) {
        self.keep_running(Stop::new().subscribe()).await;
    }

    /// Runs until it is told to stop, or for as long as its restart policy says.
    pub(super) async fn keep_running(&self, mut stop: Stopped) {
        let mut back_off = BackOff::new();
        loop {
            let started = Instant::now();
            let end = match self.start() {
                Ok(mut process) => {
                    self.update(|status| {
                        status.state = ContainerState::Running { pid: process.pid }
                    });
                    tokio::select! {
                        end = process.wait() => end,
                        () = stop.stopped() => {
                            process.stop(self.pod.plan.grace).await;
                            self.ended(ContainerState::Ended, None);
                            return;
                        }
                        never = self.watch_readiness() => match never {},
                    }
                }
                Err(error) => Err(std::io::Error::other(error.to_string())),
            };
            if !self.again(&end) {
                self.ended(ContainerState::Ended, Some(describe(&end)));
                return;
            }
            self.ended(ContainerState::BackOff, Some(describe(&end)));
            self.complain(&end);
            tokio::select! {
                () = tokio::time::sleep(back_off.delay(started.elapsed())) => {}
                () = stop.stopped() => return,
            }
            self.update(|status| status.restarts += 1);
        }
    }

    fn again(&self, end: &std::io::Result<ExitStatus>) -> bool {
        let good = end.as_ref().is_ok_and(ExitStatus::success);
        match self.plan.restart {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => !good,
            RestartPolicy::Never => false,
        }
    }

    fn start(&self) -> Result<Process> {
        self.execute(&self.plan.command)
    }

    /// Starts this in the container.
    fn execute(&self, command: &[String]) -> Result<Process> {
        let pod = self.pod;
        let env = pod.env(self.plan);
        let command: Vec<String> = command.iter().map(|word| expand(word, &env)).collect();
        Process::start(&Program {
            sandbox: Some(self.sandbox),
            command: &command,
            env: &env,
            path: &pod.world.state.bin(),
            user: User { user: self.plan.user, group: self.plan.group },
            working_dir: self.plan.working_dir.as_deref(),
            log: pod.world.state.container_log(&pod.plan.key, &self.plan.name),
        })
    }

    /// Waits until the hook has come to a good end and the startup probe passes; without them,
    /// until it runs.
    pub(super) async fn started(&self) {
        if let Some(hook) = &self.plan.post_start {
            while !self.run_hook(hook).await {
                tokio::time::sleep(POLL).await;
            }
        }
        let Some(check) = &self.plan.startup else { return };
        while !self.passes(check).await {
            tokio::time::sleep(POLL).await;
        }
    }

    async fn run_hook(&self, command: &[String]) -> bool {
        let Ok(mut process) = self.execute(command) else { return false };
        process.wait().await.is_ok_and(|end| end.success())
    }

    /// Keeps the status true while the container runs; never ends.
    async fn watch_readiness(&self) -> Infallible {
        let Some(check) = &self.plan.readiness else {
            tokio::time::sleep(SETTLED).await;
            self.update(|status| status.ready = true);
            return std::future::pending().await;
        };
        let mut failures = FAILURES;
        loop {
            let passes = self.passes(check).await;
            failures = if passes { 0 } else { failures.saturating_add(1) };
            let ready = failures < FAILURES;
            self.update(|status| status.ready = ready);
            tokio::time::sleep(if passes { check.period } else { POLL }).await;
        }
    }

    async fn passes(&self, check: &Check) -> bool {
        check.passes(self.pod.address, self.sandbox).await
    }

    fn ended(&self, state: ContainerState, how: Option<String>) {
        self.update(|status| {
            status.ready = false;
            status.state = state;
            status.last_end = how;
        });
    }

    fn complain(&self, end: &std::io::Result<ExitStatus>) {
        let (pod, name) = (self.pod, &self.plan.name);
        let log = pod.world.state.container_log(&pod.plan.key, name);
        let kind = if self.plan.role == Role::Init { "init container" } else { "container" };
        let last = crate::logs::last_line(&log).map(|line| format!(": {line}")).unwrap_or_default();
        pod.world.events.warning(format!(
            "pod {}: {kind} {name} ended ({}) and is started again{last}",
            pod.plan.key.name,
            describe(end)
        ));
    }

    /// Changes this container's status; watchers wake only when something changed.
    fn update(&self, change: impl FnOnce(&mut ContainerStatus)) {
        self.pod.update(|status| {
            if let Some(container) = status.container(&self.plan.name) {
                change(container);
            }
        });
    }
}
