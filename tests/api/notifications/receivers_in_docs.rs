//! The two receivers in `docs/receivers` accept what the vault signs, and nothing else.

use std::io::ErrorKind;
use std::path::Path;
use std::process::Stdio;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::receiver::{Behaviour, Received, Receiver};
use crate::world::{World, app_body, id_of};

struct Program {
    lines: Lines<BufReader<ChildStdout>>,
    url: String,
    _process: Child,
}

impl Program {
    /// `None` if the command is not installed.
    async fn start(command: &str, file: &str, secret: &str) -> Option<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/receivers");
        let spawned = Command::new(command)
            .arg(folder.join(file))
            .env("WEBHOOK_SECRET", secret)
            .env("PORT", "0")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut process = match spawned {
            Ok(process) => process,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => panic!("{error}"),
        };
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = lines.next_line().await.unwrap().unwrap();
        let url = first.strip_prefix("listening on ").unwrap().to_owned();
        Some(Self {
            lines,
            url,
            _process: process,
        })
    }

    async fn post(&self, call: &Received, signatures: &str, body: &str) -> u16 {
        let request = crate::world::http_client()
            .post(&self.url)
            .header("webhook-id", &call.id)
            .header("webhook-timestamp", &call.at)
            .header("webhook-signature", signatures)
            .body(body.to_owned());
        request.send().await.unwrap().status().as_u16()
    }
}

// assures 60
#[tokio::test]
async fn the_receivers_in_the_documentation_verify_what_the_vault_signs() {
    for (command, file) in [("node", "receiver.mjs"), ("python3", "receiver.py")] {
        let world = World::new().await;
        let recorder = Receiver::start(Behaviour::Accepts).await;
        let body = json!({ "url": recorder.url() });
        let set = world.acme.put_endpoint(body).await.expect(200);
        let secret = set["secret"].as_str().unwrap();
        let Some(mut program) = Program::start(command, file, secret).await else {
            continue;
        };
        world.set_endpoint_url(&program.url).await;
        let id = id_of(&world.acme.create(app_body("desk")).await.expect(201));
        world.notify().await;
        let line = program.lines.next_line().await.unwrap().unwrap();
        assert_eq!(line, format!("verified credential.created {id}"), "{file}");
        assert_eq!(world.queue.waiting(), [""; 0], "{file}");

        // The same call again is accepted, and a changed call is not.
        world.set_endpoint_url(&recorder.url()).await;
        world.acme.create(app_body("bot")).await.expect(201);
        world.notify().await;
        let [call] = recorder.calls().try_into().unwrap();
        let signature = call.signatures.join(" ");
        assert_eq!(
            program.post(&call, &signature, &call.text).await,
            204,
            "{file}"
        );
        let with_another = format!("v1,AAAA {signature}");
        assert_eq!(
            program.post(&call, &with_another, &call.text).await,
            204,
            "{file}"
        );
        for (signature, text) in [
            (signature.as_str(), format!("{} ", call.text)),
            ("v1,AAAA", call.text.clone()),
            ("", call.text.clone()),
        ] {
            assert_eq!(program.post(&call, signature, &text).await, 401, "{file}");
        }
        let late = Received {
            at: (call.at.parse::<i64>().unwrap() - 400).to_string(),
            ..call.clone()
        };
        assert_eq!(
            program.post(&late, &signature, &call.text).await,
            401,
            "{file}"
        );
    }
}
