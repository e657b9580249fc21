//! Systems that no sample tunes: models behind an API, whose server misbehaves in every way,
//! recorded scores, and examples in the prompt.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

mod recorded;
mod server;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use server::{Reply, Server, completion, message, probabilities};
use tempfile::TempDir;

/// Rows of the built-in world's test split.
const ROWS: usize = 264;

/// A folder with an experiment, run from the repository: the pipeline and templates are those that
/// are shipped.
pub(crate) struct Trial {
    folder: TempDir,
}

pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) text: String,
}

impl Trial {
    /// One system `own` with these keys.
    pub(crate) fn new(system: &str) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let text = format!(
            "experiment: trial\npipeline: pipelines/tallrec.yaml\ngrid: {{domain: movie, k: 16, \
             seed: 0, method: own}}\nsystems:\n  own: {system}\nbackbone: {{path: \
             experiments/backbones/world}}\n"
        );
        fs::write(folder.path().join("trial.yaml"), text).expect("written");
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn command(&self, word: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
        command
            .arg(word)
            .arg(self.path("trial.yaml"))
            .args(more)
            .arg("--store")
            .arg(self.path("store"))
            .arg("--results")
            .arg(self.path("results"))
            .env_remove("http_proxy")
            .env("TRIAL_KEY", SECRET)
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, more: &[&str]) -> Said {
        said(&mut self.command("run", more))
    }

    /// Rows of `results.csv` by metric: value and n.
    pub(crate) fn results(&self) -> BTreeMap<String, (Option<f64>, usize)> {
        let path = self.path("results/trial/results.csv");
        let text = fs::read_to_string(path).expect("results");
        let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let head = lines.next().expect("a head");
        let at = |name: &str| head.iter().position(|one| *one == name).expect("a column");
        let (metric, value, n) = (at("metric"), at("value"), at("n"));
        lines
            .map(|line| {
                let value = line[value].parse().ok();
                (
                    line[metric].to_owned(),
                    (value, line[n].parse().expect("n")),
                )
            })
            .collect()
    }

    /// A table of the store, by row.
    pub(crate) fn table(&self, artifact: &str) -> Vec<Value> {
        let said = said(&mut self.command("cat", &[artifact, "--format", "json"]));
        let value: Value = serde_json::from_str(&said.text)
            .unwrap_or_else(|error| panic!("{artifact}: {error}: {}", said.text));
        let rows = value.as_array().or_else(|| value["rows"].as_array());
        rows.unwrap_or_else(|| panic!("{value}")).clone()
    }
}

pub(crate) fn said(command: &mut Command) -> Said {
    let output = command.output().expect("started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(!text.contains("panicked"), "{text}");
    Said {
        code: output.status.code().unwrap_or(-1),
        text,
    }
}

const SECRET: &str = "sk-0123456789abcdef";
const ANSWERS: &str = "predict@test=movie,method=own,split=test/answers";

fn completions(server: &Server, more: &str) -> String {
    format!(
        "{{base_url: '{}', model: tiny, protocol: completions, longest_wait: 0.1s, {more}}}",
        server.address
    )
}

#[test]
fn every_fault_that_may_pass_passes_and_no_answer_is_asked_for_twice() {
    let server = Server::start(|asked| {
        let good = completion(asked.prompt());
        // The first eighth of all prompts meets a fault each, once or twice.
        let number = asked.number();
        if number % 8 != 0 || asked.before > number / 8 % 2 {
            return Reply::Json(200, good);
        }
        let overloaded = json!({"error": {"message": "slow down", "type": "tokens"}});
        match number / 16 % 8 {
            0 => Reply::With(429, overloaded, "Retry-After: 0.05".to_owned()),
            1 => Reply::Json(500, json!({"error": "oops"})),
            2 => Reply::Silence(Duration::from_millis(900)),
            3 => Reply::Cut(good.to_string()),
            4 => Reply::Text(200, "{\"choices\": [{\"tex".to_owned()),
            5 => Reply::Drip(good.to_string(), Duration::from_millis(20)),
            6 => Reply::Text(200, "<html>Bad gateway</html>".to_owned()),
            _ => Reply::Text(503, String::new()),
        }
    });
    let trial = Trial::new(&completions(&server, "timeout: 0.6s, concurrency: 8"));
    let said = trial.run(&[]);
    assert_eq!(said.code, 0, "{}", said.text);
    let served = server.served();
    let rows = trial.table(ANSWERS);
    assert_eq!(rows.len(), ROWS);
    assert!(served.values().all(|count| *count == 1), "{served:?}");
    assert!(server.asked().len() > served.len(), "there were faults");
    // The scores are those of the server's probabilities, prompt by prompt.
    let by_digest: BTreeMap<String, f64> = server
        .asked()
        .iter()
        .map(|asked| {
            let [yes, no] = probabilities(asked.prompt());
            let digest = runner::base::Digest::of_bytes(asked.prompt().as_bytes());
            (digest.hex(), yes / (yes + no))
        })
        .collect();
    for row in &rows {
        let expected = by_digest[row["prompt_digest"].as_str().expect("a digest")];
        let score = row["score"].as_f64().expect("a score");
        assert!((score - expected).abs() < 1e-9, "{row}");
    }
    let results = trial.results();
    assert_eq!(results["answered"], (Some(1.0), ROWS));
    assert_eq!(results["auc"].1, ROWS);
    // The same again: nothing runs. Another score of the same answers: nothing is asked, and
    // nothing of how it is asked makes a stage stale.
    let before = server.asked().len();
    let fresh = trial.run(&[
        "--json",
        "--set",
        "systems.own.concurrency=2",
        "--set",
        "systems.own.tries=3",
    ]);
    assert!(fresh.text.contains("\"ran\":0"), "{}", fresh.text);
    let other = trial.run(&["--set", "fidelity.eval.score=double_softmax"]);
    assert_eq!(other.code, 0, "{}", other.text);
    assert_eq!(server.asked().len(), before);
    let kept = said_of_cache(&trial);
    assert!(
        kept.contains(&format!("{} answers of models by API", served.len())),
        "{kept}"
    );
}

fn said_of_cache(trial: &Trial) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
    command.args(["cache", "verify", "--store"]);
    said(command.arg(trial.path("store"))).text
}

#[test]
fn refusals_are_left_out_counted_and_shown_and_the_key_is_nowhere() {
    let server = Server::start(|asked| {
        let key = asked
            .headers
            .get("authorization")
            .cloned()
            .unwrap_or_default();
        if key != format!("Bearer {SECRET}") {
            return Reply::Json(401, json!({"error": {"message": format!("bad key {key}")}}));
        }
        if asked.before == 0 && asked.number() % 5 == 0 {
            let message = format!("worker of {key} died");
            return Reply::Json(500, json!({"error": {"message": message}}));
        }
        assert_eq!(asked.path, "/v1/chat/completions");
        let text = match asked.number() % 10 {
            0 => "I'm sorry, but as an AI language model I cannot know that.".to_owned(),
            1 => format!("Hard to say, {SECRET}."),
            2..=5 => "**Yes.** The user likes such films.".to_owned(),
            _ => "No.".to_owned(),
        };
        Reply::Json(200, message(&text))
    });
    let system = |key: &str| {
        let address = &server.address;
        format!("{{base_url: '{address}', model: chatty, longest_wait: 0.1s, {key}}}")
    };
    let trial = Trial::new(&system("api_key_environment: TRIAL_KEY"));
    let said = trial.run(&[]);
    assert_eq!(said.code, 0, "{}", said.text);
    let rows = trial.table(ANSWERS);
    let count = |outcome: &str| rows.iter().filter(|row| row["outcome"] == outcome).count();
    let (refused, unclear) = (count("refused"), count("unclear"));
    assert!(refused > 5 && unclear > 5, "{refused} {unclear}");
    let answered = ROWS - refused - unclear;
    let results = trial.results();
    let share = answered as f64 / ROWS as f64;
    assert_eq!(results["answered"], (Some(share), ROWS));
    assert_eq!(results["auc"].1, answered);
    let words = format!("{refused} refused, {unclear} neither yes nor no");
    assert!(said.text.contains(&words), "{}", said.text);
    let report = fs::read_to_string(trial.path("results/trial/report.md")).expect("a report");
    assert!(report.contains("answered"), "{report}");
    // Tried again: the server named the key in its errors, and in what it said.
    assert!(server.asked().iter().any(|asked| asked.before > 0));
    assert!(!said.text.contains(SECRET), "{}", said.text);
    let hidden = files_with(trial.folder.path(), "***");
    assert!(hidden > 0, "what the server said of the key is hidden");
    assert_eq!(files_with(trial.folder.path(), SECRET), 0);

    let without = Trial::new(&system("tries: 1"));
    let said = without.run(&[]);
    assert_eq!(said.code, 20, "{}", said.text);
    assert!(said.text.contains("status 401: bad key"), "{}", said.text);
    assert!(said.text.contains("api_key_environment"), "{}", said.text);
    let unset = Trial::new(&system("api_key_environment: TRIAL_KEY_THAT_IS_NOT_SET"));
    let said = unset.run(&[]);
    assert!(
        said.text.contains("`TRIAL_KEY_THAT_IS_NOT_SET`"),
        "{}",
        said.text
    );
    let pasted = Trial::new(&system("api_key_environment: sk-pasted-by-mistake"));
    let said = pasted.run(&[]);
    assert!(
        said.text
            .contains("is not the name of an environment variable"),
        "{}",
        said.text
    );
}

fn files_with(folder: &Path, text: &str) -> usize {
    let mut found = 0;
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("listed");
            open.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else {
            let bytes = fs::read(&path).expect("read");
            let bytes = String::from_utf8_lossy(&bytes).into_owned();
            found += usize::from(bytes.contains(text));
        }
    }
    found
}

type Refuses = dyn Fn() -> Reply + Send + Sync;

#[test]
fn what_cannot_pass_ends_after_one_request() {
    let bare = || json!({"choices": [{"text": "Yes"}]});
    let error = |code: &str| json!({"error": {"message": "no", "code": code}});
    let cases: Vec<(Box<Refuses>, &str)> = vec![
        (
            Box::new(move || Reply::Json(200, bare())),
            "`read: text` takes the words",
        ),
        (
            Box::new(move || Reply::Json(401, error("invalid_api_key"))),
            "api_key_environment",
        ),
        (
            Box::new(move || Reply::Json(404, error("model_not_found"))),
            "is there such a model",
        ),
        (
            Box::new(move || Reply::Json(429, error("insufficient_quota"))),
            "no credit left",
        ),
        (
            Box::new(|| Reply::With(301, json!({}), "Location: http://elsewhere/v1".to_owned())),
            "it points to `http://elsewhere/v1`",
        ),
        (
            Box::new(|| Reply::With(429, json!({}), "Retry-After: 3600".to_owned())),
            "it asks to come back in 1 h 00 min",
        ),
    ];
    for (reply, expected) in cases {
        let server = Server::start(move |_| reply());
        let trial = Trial::new(&completions(&server, "concurrency: 1"));
        let said = trial.run(&[]);
        assert_eq!(said.code, 20, "{}", said.text);
        assert!(said.text.contains(expected), "{expected}: {}", said.text);
        assert_eq!(server.asked().len(), 1, "{expected}");
    }
    // Nobody there: tried as often as was said.
    let trial = Trial::new(
        "{base_url: 'http://127.0.0.1:9/v1', model: tiny, tries: 2, longest_wait: 0.1s}",
    );
    let said = trial.run(&[]);
    assert!(
        said.text
            .contains("nothing listens at `http://127.0.0.1:9/v1`"),
        "{}",
        said.text
    );
    assert!(said.text.contains("tried 2 times"), "{}", said.text);
}

#[test]
fn a_ceiling_is_never_passed_and_a_higher_one_goes_on() {
    let server = Server::start(|asked| Reply::Json(200, completion(asked.prompt())));
    let trial = Trial::new(&completions(&server, "ceiling: {tokens: 5000}"));
    let said = trial.run(&[]);
    assert_eq!(said.code, 20, "{}", said.text);
    let first = server.asked().len();
    // 61 tokens each, of which no more than the largest prompt could have stay unused.
    assert!(first * 61 <= 5000 && first > 40, "{first}");
    assert!(
        said.text.contains("and 5000 are allowed by `ceiling`"),
        "{}",
        said.text
    );
    assert!(
        said.text
            .contains(&format!("{first} of {ROWS} rows are answered")),
        "{}",
        said.text
    );
    // It holds over runs, not for each of them.
    trial.run(&[]);
    assert_eq!(server.asked().len(), first);
    let money = "systems.own={base_url: '".to_owned()
        + &server.address
        + "', model: tiny, protocol: completions, price: {prompt: 1000, completion: 1000}, \
           ceiling: {money: 1000}}";
    let plan = said_json(&mut trial.command("plan", &["--json", "--set", &money]));
    let asked = &plan["requests"]["stages"][0]["requests"];
    assert_eq!(asked["rows"], ROWS);
    let open = asked["requests"].as_u64().expect("a number") as usize;
    assert_eq!(asked["spent"]["prompt"], first * 60);
    let said = trial.run(&["--set", &money]);
    assert_eq!(said.code, 0, "{}", said.text);
    assert_eq!(server.asked().len(), first + open);
    assert!(server.served().values().all(|count| *count == 1));
}

fn said_json(command: &mut Command) -> Value {
    let said = said(command);
    serde_json::from_str(&said.text).unwrap_or_else(|error| panic!("{error}: {}", said.text))
}

fn start(trial: &Trial) -> Child {
    let mut command = trial.command("run", &["--quiet"]);
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("started")
}

fn wait_for(server: &Server, answers: usize) {
    for _ in 0..1200 {
        if server.served().len() >= answers {
            return;
        }
        thread::sleep(Duration::from_millis(25));
    }
    panic!("only {} answers", server.served().len());
}

#[test]
fn after_a_kill_only_what_was_under_way_is_asked_again() {
    let server =
        Server::start(|asked| Reply::Late(Duration::from_millis(20), completion(asked.prompt())));
    let trial = Trial::new(&completions(&server, "concurrency: 3"));
    for answers in [40, 90] {
        let mut child = start(&trial);
        wait_for(&server, answers);
        child.kill().expect("killed");
        child.wait().expect("ended");
    }
    let said = trial.run(&[]);
    assert_eq!(said.code, 0, "{}", said.text);
    let served = server.served();
    let twice: usize = served.values().map(|count| count - 1).sum();
    assert!(twice <= 2 * 3, "{twice} questions were answered twice");
    assert_eq!(trial.results()["answered"], (Some(1.0), ROWS));
}

#[test]
fn two_runners_ask_each_question_once() {
    let server =
        Server::start(|asked| Reply::Late(Duration::from_millis(3), completion(asked.prompt())));
    let trial = Trial::new(&completions(&server, "concurrency: 4"));
    // Two different stages with the same questions.
    let mut first = start(&trial);
    let other = trial.run(&["--set", "fidelity.eval.score=double_softmax"]);
    assert_eq!(other.code, 0, "{}", other.text);
    assert!(first.wait().expect("ended").success());
    assert!(server.served().values().all(|count| *count == 1));
}

#[test]
fn the_plan_says_what_it_would_ask_and_cost() {
    let server = Server::start(|asked| Reply::Json(200, completion(asked.prompt())));
    let price = "price: {prompt: 1000, completion: 2000}";
    let trial = Trial::new(&completions(&server, price));
    let plan = said_json(&mut trial.command("plan", &["--json"]));
    let unknown = &plan["requests"]["stages"][0]["unknown"];
    assert!(
        unknown
            .as_str()
            .expect("a reason")
            .contains("is not made yet"),
        "{unknown}"
    );
    let mut make = Command::new(env!("CARGO_BIN_EXE_runner"));
    make.args(["export", "samples"])
        .arg(trial.path("trial.yaml"));
    make.args(["--domain", "movie", "--split", "test", "--store"]);
    make.arg(trial.path("store"));
    let made = said(&mut make);
    assert_eq!(made.code, 0, "{}", made.text);
    let text = said(&mut trial.command("run", &["--dry-run"])).text;
    assert!(text.contains("requests to models by API"), "{text}");
    let plan = said_json(&mut trial.command("plan", &["--json"]));
    let requests = &plan["requests"];
    let count = requests["requests"].as_u64().expect("a number");
    assert!(count > 200 && count <= ROWS as u64, "{requests}");
    assert_eq!(requests["tokens"]["completion"], count);
    let tokens = requests["tokens"]["prompt"].as_u64().expect("a number");
    let cost = (tokens as f64 * 1000.0 + count as f64 * 2000.0) / 1e6;
    assert!((requests["cost"].as_f64().expect("a cost") - cost).abs() < 1e-9);
    assert_eq!(server.asked().len(), 0, "a plan asks nothing");
    assert_eq!(trial.run(&[]).code, 0);
    let plan = said_json(&mut trial.command("plan", &["--json"]));
    assert!(plan.get("requests").is_none(), "all is fresh");
}

#[test]
fn examples_stand_before_the_question_here_and_there() {
    let server = Server::start(|asked| {
        let text = if asked.number() % 2 == 0 {
            "Yes."
        } else {
            "No."
        };
        Reply::Json(200, message(text))
    });
    let address = &server.address;
    let trial = Trial::new(&format!(
        "{{base_url: '{address}', model: chatty, examples: 2, system: Answer in one word.}}"
    ));
    let said = trial.run(&["--set", "grid.seed=[0,1]"]);
    assert_eq!(said.code, 0, "{}", said.text);
    let asked = server.asked();
    let mut openings = std::collections::BTreeSet::new();
    for one in &asked {
        let messages = one.body["messages"].as_array().expect("messages");
        let roles: Vec<&str> = messages.iter().filter_map(|m| m["role"].as_str()).collect();
        assert_eq!(
            roles,
            ["system", "user", "assistant", "user", "assistant", "user"]
        );
        openings.insert(messages[1].to_string());
        let answer = messages[2]["content"].as_str().expect("a text");
        assert!(answer == "Yes." || answer == "No.", "{answer}");
    }
    assert_eq!(
        openings.len(),
        2,
        "each seed has examples of its own, the same for every row"
    );
    // The backbone, asked the same way.
    let local = Trial::new("{local: base, examples: 1}");
    let few = local.run(&["--set", "settings.tallrec.cutoff_length=700"]);
    assert_eq!(few.code, 0, "{}", few.text);
    let with = local.results()["auc"];
    let none = local.run(&["--set", "systems.own.examples=0"]);
    assert_eq!(none.code, 0, "{}", none.text);
    assert_eq!(with.1, ROWS);
    assert_ne!(
        local.results()["auc"],
        with,
        "an example changes what it says"
    );
    // As many examples as asked, no more than were drawn.
    let many = local.run(&["--set", "systems.own.examples=17"]);
    assert!(
        many.text.contains("17 examples") && many.text.contains("16"),
        "{}",
        many.text
    );
}

#[test]
fn several_backbones_stand_side_by_side() {
    let trial = Trial::new("{local: base}");
    let path = trial.path("trial.yaml");
    let text = fs::read_to_string(&path).expect("read");
    let other = trial.path("other.json");
    let template = fs::read_to_string("templates/alpaca.json").expect("shipped");
    let template = template.replace("### Instruction:", "### Task:");
    fs::write(&other, template).expect("written");
    let world = "path: experiments/backbones/world";
    let list = format!(
        "backbone:\n  - {{{world}}}\n  - {{{world}, name: other, template: '{}'}}\n",
        other.display()
    );
    let one = format!("backbone: {{{world}}}\n");
    assert!(text.contains(&one));
    let methods = "[like_share, own, tallrec: {variant: [base]}]";
    let text = text
        .replace(&one, &list)
        .replace("method: own", &format!("method: {methods}"));
    fs::write(&path, text).expect("written");
    let said = trial.run(&[]);
    assert_eq!(said.code, 0, "{}", said.text);
    let csv = fs::read_to_string(trial.path("results/trial/results.csv")).expect("results");
    let of = |start: &str| {
        let mut lines = csv
            .lines()
            .filter(|line| line.starts_with(start) && line.contains(",test,auc,"));
        let found = lines.next().unwrap_or_else(|| panic!("{start}: {csv}"));
        assert!(lines.next().is_none(), "{start} once: {csv}");
        found.split(',').nth(9).expect("a value").to_owned()
    };
    let (first, second) = (
        of("trial,tallrec,base@world,"),
        of("trial,tallrec,base@other,"),
    );
    assert_ne!(first, second, "each is asked with its own template");
    // The same questions under another name.
    assert_eq!(of("trial,own,@world,"), first);
    assert_eq!(of("trial,own,@other,"), second);
    of("trial,like_share,,");
    let table = fs::read_to_string(trial.path("results/trial/comparison.md")).expect("a table");
    for name in [
        "TALLRec (base, world)",
        "TALLRec (base, other)",
        "own (other)",
    ] {
        assert!(table.contains(name), "{name}: {table}");
    }
    let figure = fs::read_to_string(trial.path("results/trial/zero_shot.svg")).expect("a figure");
    assert!(figure.contains("TALLRec (base, other)"), "{figure}");
    // One of them alone is the same stage as without a list.
    let alone = trial.run(&["--only", "backbone=other", "--json"]);
    assert!(alone.text.contains("\"ran\":0"), "{}", alone.text);
    let plain = trial.run(&["--set", &format!("backbone={{{world}}}"), "--json"]);
    assert!(plain.text.contains("\"ran\":0"), "{}", plain.text);
    let twice = trial.run(&["--set", &format!("backbone=[{{{world}}}, {{{world}}}]")]);
    assert!(
        twice.text.contains("two backbones are called `world`"),
        "{}",
        twice.text
    );
}

#[test]
fn lists_of_candidates_are_ranked() {
    let trial = Trial::new("{local: base}");
    let path = trial.path("trial.yaml");
    let text = fs::read_to_string(&path).expect("read");
    let text = text.replace("method: own", "method: [like_share, item_mean, own]");
    fs::write(
        &path,
        text + "candidates: {negatives: 4, seed: 3, at: [1, 3, 5]}\n",
    )
    .expect("written");
    let said = trial.run(&[]);
    assert_eq!(said.code, 0, "{}", said.text);
    let lists = trial.table("candidates@test=movie/candidates");
    let liked: Vec<&Value> = lists.iter().filter(|row| row["label"] == true).collect();
    assert_eq!(lists.len(), 5 * liked.len());
    // Nobody is asked about an item of his own past, and no item stands twice in a list.
    for list in lists.chunks(5) {
        let history = list[0]["history_ids"].as_array().expect("a list");
        let mut targets = std::collections::BTreeSet::new();
        for row in list {
            assert_eq!(row["user"], list[0]["user"]);
            assert!(!history.contains(&row["target_id"]), "{row}");
            let title = row["target_title"].as_str().expect("a title");
            assert!(
                row["input"]
                    .as_str()
                    .expect("a text")
                    .ends_with(&format!("\"{title}\"?"))
            );
            assert!(targets.insert(row["target_id"].to_string()), "{row}");
        }
    }
    let csv = fs::read_to_string(trial.path("results/trial/results.csv")).expect("results");
    let of = |method: &str, metric: &str| -> f64 {
        let wanted = |line: &&str| {
            line.starts_with(&format!("trial,{method},")) && line.contains(&format!(",{metric},"))
        };
        let line = csv
            .lines()
            .find(wanted)
            .unwrap_or_else(|| panic!("{method} {metric}: {csv}"));
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!(fields[10], liked.len().to_string(), "{line}");
        fields[9].parse().expect("a number")
    };
    for method in ["like_share", "item_mean", "own"] {
        let [one, three, five] = [1, 3, 5].map(|cut| of(method, &format!("hit_rate@{cut}")));
        assert!(
            one <= three && three <= five && (five - 1.0).abs() < 1e-12,
            "{method}: {one} {three} {five}"
        );
        assert!((of(method, "ndcg@1") - one).abs() < 1e-12, "{method}");
        assert!(of(method, "ndcg@5") > of(method, "ndcg@3") - 1e-12);
    }
    // A score that does not look at the target ties everywhere: what guessing gives.
    assert!((of("like_share", "hit_rate@1") - 0.2).abs() < 1e-9);
    assert!((of("like_share", "hit_rate@3") - 0.6).abs() < 1e-9);
    let report = fs::read_to_string(trial.path("results/trial/report.md")).expect("a report");
    assert!(
        report.contains("HR@5") && report.contains("NDCG@3"),
        "{report}"
    );
}
