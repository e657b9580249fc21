//! One experiment from file to report: load, graph, plan, run, collect, write.
//!
//! What the commands and the tests have in common. The route of `runner run` is
//! [`Study::open`] → [`Study::plan`] → [`Study::run`] → [`collect::collect`] →
//! [`publish::publish`].

pub mod collect;
pub mod compare;
pub mod details;
mod lineage;
pub mod outlook;
pub mod publish;
pub mod requests;
pub mod runs;
pub mod speeds;
mod standing;
pub mod verify;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use petgraph::graph::NodeIndex;
use serde_json::Value;

use crate::artifact::{Store, StoreError};
use crate::base::nearest::nearest;
use crate::base::{Devices, EventKind};
use crate::graph::{self, StageGraph};
use crate::plan::{self, Plan, PlanError};
use crate::recommender::{self, LANGUAGE_MODEL, RECOMMENDERS};
use crate::report::{FIGURES, ReportError, TABLES};
use crate::results::ResultError;
use crate::schedule::{self, Fitted, Interrupt, Options, RunSummary, WorkerCommand};
use crate::spec::{Experiment, LoadError, Request, SpecError, Vocabulary};
use crate::stage::{ErasedStage, STAGES, StageError, check_device};

pub use standing::result_keys;

/// Where things are kept.
#[derive(Debug, Clone)]
pub struct Folders {
    /// The content-addressed store.
    pub store: PathBuf,
    /// Result sets and reports, one folder an experiment.
    pub results: PathBuf,
}

impl Folders {
    /// Journals of runs, beside the store.
    #[must_use]
    pub fn runs(&self) -> PathBuf {
        self.store.join("runs")
    }

    /// Logs of stages that failed, beside the store.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.store.join("logs")
    }
}

/// An experiment, its graph and its store.
#[derive(Debug)]
pub struct Study {
    /// The experiment.
    pub experiment: Experiment,
    /// Its stages.
    pub graph: StageGraph,
    /// The store.
    pub store: Arc<Store>,
    /// Where things are kept.
    pub folders: Folders,
    /// How to start the process that does the stages of the accelerator lane; without one they
    /// are done in this process.
    pub worker: Option<WorkerCommand>,
    /// Where stages of the accelerator lane compute.
    devices: Devices,
    /// Bytes of memory of a device that is only planned for.
    pub device_memory: Option<u64>,
    /// Stages that run with other parameters than their pipeline's, so that they fit into memory.
    pub fitted: OnceLock<BTreeMap<NodeIndex, Fitted>>,
}

/// Why a study cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    /// The experiment or its pipeline is wrong or unreadable.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The pipeline does not fit the grid.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A plan cannot be made.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// An artifact is not what its stage kind writes.
    #[error("cannot read `{what}`: {message}")]
    Artifact {
        /// Stage and output.
        what: String,
        /// What is wrong.
        message: String,
    },
    /// The rows do not form a result set.
    #[error(transparent)]
    Results(#[from] ResultError),
    /// The report cannot be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A device that this program cannot compute on.
    #[error(transparent)]
    Device(StageError),
    /// A file of an artifact is damaged or gone.
    #[error(transparent)]
    Stage(#[from] StageError),
}

/// Names that experiments may use, from the registries.
#[must_use]
pub fn vocabulary() -> Vocabulary {
    // Leaked once a process, a few dozen bytes: the registries are constants, their names are not.
    static NAMES: OnceLock<Vocabulary> = OnceLock::new();
    *NAMES.get_or_init(|| Vocabulary {
        methods: leak(RECOMMENDERS.iter().map(|method| method.name())),
        // The last three are the paper's, known by name though nobody can run them by default.
        pipeline_methods: &[
            LANGUAGE_MODEL,
            "text_davinci_002",
            "text_davinci_003",
            "chatgpt",
        ],
        tables: leak(TABLES.iter().map(|table| table.name)),
        default_tables: leak(
            TABLES
                .iter()
                .filter(|table| table.by_default)
                .map(|table| table.name),
        ),
        figures: leak(FIGURES.iter().map(|figure| figure.name)),
        check_settings: Some(|method, settings| match recommender::find(method) {
            Ok(method) => method
                .complete(settings)
                .map(|_| ())
                .map_err(|error| (error.path, error.message)),
            Err(error) => Err((String::new(), error.to_string())),
        }),
    })
}

fn leak(names: impl Iterator<Item = &'static str>) -> &'static [&'static str] {
    Box::leak(names.collect::<Vec<_>>().into_boxed_slice())
}

impl Study {
    /// Reads an experiment, builds its graph and opens the store.
    ///
    /// # Errors
    /// Everything that is wrong with the files, or a store that cannot be used.
    pub fn open(request: &Request, folders: Folders) -> Result<Self, StudyError> {
        Self::open_with(request, folders, STAGES)
    }

    /// The same to look at only: the store is not made, and need not be writable.
    ///
    /// # Errors
    /// As [`Study::open`].
    pub fn open_to_read(request: &Request, folders: Folders) -> Result<Self, StudyError> {
        Self::open_at(request, folders, STAGES, Store::open_to_read)
    }

    /// The same with other stage kinds.
    ///
    /// # Errors
    /// As [`Study::open`].
    pub fn open_with(
        request: &Request,
        folders: Folders,
        kinds: &[&'static dyn ErasedStage],
    ) -> Result<Self, StudyError> {
        Self::open_at(request, folders, kinds, Store::open)
    }

    fn open_at(
        request: &Request,
        folders: Folders,
        kinds: &[&'static dyn ErasedStage],
        store: fn(&Path) -> Result<Store, StoreError>,
    ) -> Result<Self, StudyError> {
        let (experiment, diagnostics) = Experiment::read(request, vocabulary())?;
        let graph = graph::build(&experiment, kinds, diagnostics)?;
        let store = Arc::new(store(&folders.store)?);
        let devices = experiment.devices.clone().unwrap_or_default();
        Ok(Self {
            experiment,
            graph,
            store,
            folders,
            worker: None,
            devices,
            device_memory: None,
            fitted: OnceLock::new(),
        })
    }

    /// Keeps of the graph only what one template needs, with values given in place of axes.
    ///
    /// # Errors
    /// Everything that is wrong with the pipeline for this template.
    pub fn want_only(
        &mut self,
        template: &str,
        bound: &BTreeMap<String, Value>,
    ) -> Result<(), StudyError> {
        self.graph = graph::build_only(&self.experiment, STAGES, template, bound)?;
        Ok(())
    }

    /// What would run.
    ///
    /// # Errors
    /// If a user's file or the store cannot be read.
    pub fn plan(&self) -> Result<Plan<'_>, StudyError> {
        Ok(plan::plan(&self.graph, &self.store, &self.experiment.name)?)
    }

    /// Makes stages of the accelerator lane compute elsewhere than the experiment says, if
    /// something else is said.
    pub fn choose_devices(&mut self, instead: Option<Devices>) {
        if let Some(devices) = instead {
            self.devices = devices;
        }
    }

    /// Checks that this program can compute on the devices chosen.
    ///
    /// # Errors
    /// If it is built without what one of them needs.
    pub fn check_devices(&self) -> Result<(), StudyError> {
        let mut devices = self.devices.0.iter();
        devices.try_for_each(|device| check_device(*device).map_err(StudyError::Device))
    }

    /// Runs a plan.
    pub fn run<'s>(
        &'s self,
        plan: &mut Plan<'s>,
        jobs: usize,
        fail_fast: bool,
        interrupt: &Interrupt,
        sink: &mut dyn FnMut(EventKind),
    ) -> RunSummary {
        let options = self.options(jobs, fail_fast);
        let summary = schedule::run(&self.graph, plan, &self.store, &options, interrupt, sink);
        if summary.ran > 0 {
            self.learn_speeds(plan, jobs);
        }
        summary
    }

    /// How this experiment's stages are run.
    #[must_use]
    pub fn options(&self, jobs: usize, fail_fast: bool) -> Options {
        Options {
            experiment: self.experiment.name.clone(),
            jobs,
            fail_fast,
            logs: self.folders.logs(),
            worker: self.worker.clone(),
            devices: self.devices.0.clone(),
            fitted: self.fitted.get().cloned().unwrap_or_default(),
        }
    }

    /// Finds a stage by id, or says which id is nearest.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn find_stage(&self, id: &str) -> Result<NodeIndex, String> {
        if let Some(node) = self.graph.find(id) {
            return Ok(node);
        }
        let ids = self.graph.ids();
        let same_template: Vec<&&str> = ids
            .iter()
            .filter(|known| known.split('@').next() == Some(id))
            .collect();
        if let [only] = same_template.as_slice() {
            return self
                .graph
                .find(only)
                .ok_or_else(|| format!("there is no stage `{id}`"));
        }
        if same_template.len() > 1 {
            let some: Vec<String> = same_template
                .iter()
                .take(5)
                .map(|id| format!("    {id}"))
                .collect();
            return Err(format!(
                "`{id}` stands for {} stages; name one of them:\n{}{}",
                same_template.len(),
                some.join("\n"),
                if same_template.len() > 5 {
                    "\n    … (`runner plan EXPERIMENT --all` lists all)".to_owned()
                } else {
                    String::new()
                }
            ));
        }
        let mut templates: Vec<&str> = self
            .graph
            .graph
            .node_weights()
            .map(|node| node.template.as_str())
            .collect();
        templates.sort_unstable();
        templates.dedup();
        let candidates = templates.iter().chain(&ids).copied();
        let hint = nearest(id, candidates).map_or_else(
            || format!("its stages are made from: {}", templates.join(", ")),
            |known| format!("did you mean `{known}`?"),
        );
        Err(format!("there is no stage `{id}`\n  help: {hint}"))
    }

    /// The path of an artifact whose bytes match its digest.
    ///
    /// # Errors
    /// If it is missing or damaged.
    pub fn artifact(
        &self,
        plan: &Plan<'_>,
        node: NodeIndex,
        output: usize,
    ) -> Result<Option<PathBuf>, StudyError> {
        let Some(record) = plan.keys.output(node, output) else {
            return Ok(None);
        };
        let state = self.store.check_artifact(record.digest)?;
        match state {
            crate::artifact::ArtifactState::Intact => {
                Ok(Some(self.store.artifact_path(record.digest)))
            }
            crate::artifact::ArtifactState::Missing => Ok(None),
            crate::artifact::ArtifactState::Corrupt => Err(StudyError::Artifact {
                what: plan::reason::origin(&self.graph, node, output),
                message:
                    "its bytes no longer match its digest; run `runner cache verify` and then \
                          the experiment again"
                        .to_owned(),
            }),
        }
    }

    /// The folder of this experiment's results.
    #[must_use]
    pub fn results_folder(&self) -> PathBuf {
        self.folders.results.join(&self.experiment.name)
    }
}

/// A path for messages: relative to the current folder where it lies below it.
#[must_use]
pub fn shown(path: &Path) -> String {
    let short = std::env::current_dir()
        .ok()
        .and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    short
        .unwrap_or_else(|| path.to_owned())
        .display()
        .to_string()
}
