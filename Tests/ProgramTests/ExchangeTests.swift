import Foundation
import Testing

/// Weights that leave and come back: `export`, `import`, and what Python reads.
@Suite struct ExchangeTests {
    /// Reads and writes safetensors by the format's description, with numpy alone.
    static let safetensors = """
        import json, struct, sys
        import numpy as np

        TYPES = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "U8": "u1", "BOOL": "?", "BF16": "<u2"}

        def load(path):
            content = open(path, "rb").read()
            end = 8 + struct.unpack("<Q", content[:8])[0]
            header = json.loads(content[8:end])
            metadata = header.pop("__metadata__", {})
            tensors = {}
            for name, entry in header.items():
                begin, stop = entry["data_offsets"]
                tensors[name] = np.frombuffer(
                    content[end + begin:end + stop], TYPES[entry["dtype"]]).reshape(entry["shape"])
            return tensors, metadata

        def save(path, tensors, metadata={}):
            header, data = {"__metadata__": metadata} if metadata else {}, b""
            for name, array in tensors.items():
                kind = next(k for k, t in TYPES.items() if np.dtype(t) == array.dtype)
                bytes = np.ascontiguousarray(array).tobytes()
                header[name] = {"dtype": kind, "shape": array.shape,
                                "data_offsets": [len(data), len(data) + len(bytes)]}
                data += bytes
            header = json.dumps(header).encode()
            open(path, "wb").write(struct.pack("<Q", len(header)) + header + data)

        """

    /// A tiny run, exported to `exported.safetensors`.
    static func exported(_ place: Workplace, _ words: [String] = []) throws -> String {
        let run = try Program.run(place.train() + words)
        #expect(run.exitCode == 0, "\(run.errors)")
        let path = place.file("exported.safetensors")
        let result = try Program.run(["export", place.file("runs/tiny/last"), "--out", path])
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(digest(result) == digest(run))
        return path
    }

    @Test func pythonReadsWhatIsExported() throws {
        let place = try Workplace()
        let path = try Self.exported(place, ["--bias"])
        let untied = try Program.run([
            "export", place.file("runs/tiny"), "--out", place.file("untied"), "--untie",
        ])
        #expect(untied.exitCode == 0)
        let python = try Python.run(
            Self.safetensors + """
                import h5py
                tensors, metadata = load(sys.argv[1])
                untied, more = load(sys.argv[2])
                with h5py.File(sys.argv[3]) as f:
                    names = [name.decode() for name in f["weights"].attrs["weight_names"]]
                    assert list(tensors) == names, list(tensors)
                    for name in names:
                        stored = f["weights"][name]
                        assert tensors[name].shape == stored.shape and tensors[name].dtype == "<f4"
                        assert tensors[name].tobytes() == stored[...].tobytes(), name
                        assert untied[name].tobytes() == stored[...].tobytes(), name
                head = untied.pop("lm_head.weight")
                assert head.tobytes() == tensors["transformer.wte.weight"].tobytes()
                assert list(untied) == names
                own = {"causalgen.config", "causalgen.tokenizer"}
                assert set(metadata) == {"lm_head.weight", "format"} | own
                assert metadata["lm_head.weight"] == "transformer.wte.weight"
                assert metadata["format"] == "pt"
                assert set(more) == {"format"} | own
                assert not {"data", "out_dir", "run_name"} & set(json.loads(metadata["causalgen.config"]))
                assert json.loads(metadata["causalgen.tokenizer"])["characters"][0] == "\\n"
                """, path, place.file("untied"), place.file(InspectTests.checkpoint))
        #expect(python.exitCode == 0, "\(python.errors)")
    }

    /// Its own exports are imported without an option, whatever the model is.
    @Test func exportAndImportKeepTheModel() throws {
        let place = try Workplace()
        let words = [
            "--bias", "--reduce", "min", "--context", "prefix", "--activation", "causal",
            "--n-layer", "2", "--dropout", "0.1", "--seed", "5",
        ]
        let path = try Self.exported(place, words)
        let back = place.file("back.h5")
        let result = try Program.run(["import", path, "--out", back])
        #expect(result.exitCode == 0, "\(result.errors)")
        let comparison = try InspectTests.json(
            try Program.run(["compare", place.file("runs/tiny"), back, "--json"]))
        let tensors = try #require(comparison["tensors"] as? [[String: Any]])
        #expect(tensors.allSatisfy { ($0["name"] as? String)?.hasPrefix("/adamw/") == true })
        let settings = try #require(comparison["configuration"] as? [[String: Any]])
        #expect(settings.allSatisfy { $0["decides_numbers"] as? Bool == false })
        let found = try InspectTests.json(try Program.run(["inspect", back, "--json"]))
        #expect(found["step"] as? Int == 0)
        let rows = try #require(found["tensors"] as? [[String: Any]])
        #expect(rows.allSatisfy { $0["first_moment_norm"] as? Double == 0 })
        #expect(rows.allSatisfy { $0["second_moment_norm"] as? Double == 0 })

        let data = ["--data", place.file("data"), "--json"]
        let losses = try [place.file("runs/tiny"), back].map { checkpoint in
            try InspectTests.json(try Program.run(["eval", checkpoint] + data))["loss"] as? Double
        }
        #expect(losses[0] != nil && losses[0] == losses[1])
        let texts = try [place.file("runs/tiny"), back].map {
            try Program.run(["sample", $0, "--max-new-tokens", "20"]).output
        }
        #expect(texts[0].count > 20 && texts[0] == texts[1])
        let digests = try [place.file("runs/tiny"), back].enumerated().map { index, checkpoint in
            digest(
                try Program.run(
                    place.train("--init-from", checkpoint, "--run-name", "again\(index)") + words))
        }
        #expect(digests[0] != nil && digests[0] == digests[1])
    }

    /// What others make of the same weights: the change, in Python, to `tensors` and `metadata`; and
    /// whether float32 is what it ends with.
    struct Variant: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let change: String
        var keepsBits = true
    }

    static let variants = [
        Variant(
            testDescription: "torch.compile's prefix",
            change: "tensors = {'_orig_mod.' + k: v for k, v in tensors.items()}"),
        Variant(
            testDescription: "without transformer.",
            change: "tensors = {k.removeprefix('transformer.'): v for k, v in tensors.items()}"),
        Variant(
            testDescription: "GPT-2's transposes and masks",
            change: """
                tensors = {k.removeprefix('transformer.'): v.T if '.c_' in k else v
                           for k, v in tensors.items()}
                tensors['h.0.attn.bias'] = np.ones((1, 1, 8, 8), '?')
                tensors['h.0.attn.masked_bias'] = np.array(-1e4, '<f4')
                """),
        Variant(
            testDescription: "a head beside the embedding",
            change: "tensors['lm_head.weight'] = tensors['transformer.wte.weight']"),
        Variant(
            testDescription: "a head in place of the embedding",
            change: "tensors['lm_head.weight'] = tensors.pop('transformer.wte.weight')"),
        Variant(
            testDescription: "F16",
            change: "tensors = {k: v.astype('<f2') for k, v in tensors.items()}", keepsBits: false),
        Variant(
            testDescription: "BF16",
            change:
                "tensors = {k: (v.view('<u4') >> 16).astype('<u2') for k, v in tensors.items()}",
            keepsBits: false),
    ]

    /// Without metadata, the tokenizer comes from --data and the rest from options.
    @Test(arguments: variants) func othersFilesAreImported(_ variant: Variant) throws {
        let place = try Workplace()
        let path = try Self.exported(place, ["--reduce", "mean"])
        let python = try Python.run(
            Self.safetensors + """
                import hashlib
                tensors, _ = load(sys.argv[1])
                names = list(tensors)
                original = dict(tensors)
                exec(sys.argv[3])
                save(sys.argv[2], tensors)
                digest = hashlib.sha256()
                for name in names:
                    array = original[name]
                    if name in tensors and tensors[name].dtype == np.dtype("<f2"):
                        array = tensors[name].astype("<f4")
                    if name in tensors and tensors[name].dtype == np.dtype("<u2"):
                        array = (tensors[name].astype("<u4") << 16).view("<f4")
                    digest.update(array.tobytes())
                print("weights sha256 " + digest.hexdigest())
                """, path, place.file("variant"), variant.change)
        #expect(python.exitCode == 0, "\(python.errors)")
        let result = try Program.run([
            "import", place.file("variant"), "--out", place.file("variant.h5"), "--data",
            place.file("data"), "--reduce", "mean", "--n_head=2",
        ])
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(digest(result) != nil && digest(result) == digest(python))
        let original = try InspectTests.json(
            try Program.run(["inspect", place.file("runs/tiny"), "--json"]))["weights_sha256"]
        let same = "weights sha256 \(original ?? "")" == digest(result).map(String.init)
        #expect(same == variant.keepsBits)
        // The data are known, so eval needs no --data.
        let evaluation = try Program.run(["eval", place.file("variant.h5")])
        #expect(evaluation.exitCode == 0, "\(evaluation.errors)")
    }

    struct Refusal: Sendable, CustomTestStringConvertible {
        let testDescription: String
        var change = ""
        var words: [String] = []
        let exitCode: Int32
        let says: [String]

        init(_ change: String, _ words: [String] = [], _ exitCode: Int32 = 65, says: String...) {
            testDescription = "\(change) \(words)"
            (self.change, self.words, self.exitCode, self.says) = (change, words, exitCode, says)
        }
    }

    static let first = "transformer.h.0.mlp.c_fc.weight"
    static let refusals = [
        Refusal(
            "tensors['transformer.h.0.attn.c_attn.weight'] = np.zeros((48, 16), '<f4')",
            says: "'transformer.h.0.attn.c_attn.weight'", "no query, key and value"),
        Refusal(
            """
            head = tensors['transformer.wte.weight'].copy()
            head[2, 3] = np.nextafter(head[2, 3], np.float32(9))
            tensors['lm_head.weight'] = head
            """, says: "'lm_head.weight' is not its token embedding, element 35"),
        Refusal("del tensors['transformer.wpe.weight']", says: "no 'transformer.wpe.weight'"),
        Refusal(
            "del tensors['transformer.h.0.ln_2.weight']", says: "no 'transformer.h.0.ln_2.weight'"),
        Refusal(
            "tensors['transformer.ln_f.bias'] = np.zeros(16, '<f4')",
            says: "no 'transformer.h.0.ln_1.bias'"),
        Refusal(
            "tensors['transformer.h.0.more'] = np.zeros(16, '<f4')",
            says: "'transformer.h.0.more', for which there is no place"),
        Refusal("tensors['\(first)'] = tensors['\(first)'][:, :8]", says: "[64, 8]", "four times"),
        Refusal(
            "tensors['transformer.ln_f.weight'] = np.zeros(17, '<f4')",
            says: "'transformer.ln_f.weight' is [17], and [16] is expected"),
        Refusal(
            "tensors['transformer.ln_f.weight'] = np.zeros(16, '<f8')", says: "is of F64", "F32"),
        Refusal(
            "tensors = {k.replace('h.0', 'h.1000000000'): v for k, v in tensors.items()}",
            says: "not numbered from 0"),
        Refusal(
            "tensors['wpe.weight'] = tensors['transformer.wpe.weight']",
            says: "'transformer.wpe.weight' and 'wpe.weight' are one tensor's names"),
        Refusal("tensors = {}", says: "no 'transformer.wte.weight'"),
        Refusal(
            "del metadata['causalgen.tokenizer']", [], 64, says: "give --data DIR"),
        Refusal(
            "metadata['causalgen.tokenizer'] = json.dumps({'format': 'causalgen-vocabulary', "
                + "'version': 1, 'kind': 'byte'})", says: "has 256"),
        Refusal(
            "metadata['causalgen.config'] = '['", says: "'causalgen.config'", "export the file"),
        Refusal(
            "metadata['causalgen.config'] = '{\"x\":' + '[' * 1000000", says: "1000005 bytes"),
        Refusal(
            "metadata['causalgen.config'] = '{\"x\":' + '[' * 50000", says: "not a JSON object"),
        Refusal(
            "metadata['causalgen.config'] = '{\"reduce\":\"sum\"}'", says: "one of max, min, mean"),
        Refusal("", ["--n-layer", "2"], 78, says: "--n-layer is 2", "say 1"),
        Refusal("", ["--no-bias", "--bias"], 78, says: "--bias is true"),
        Refusal("", ["--reduce", "sum"], 64, says: "one of max, min, mean"),
        Refusal("", ["--n-layr", "2"], 64, says: "did you mean --n-layer"),
        Refusal("", ["--data", "/nowhere"], 66, says: "/nowhere"),
    ]

    @Test(arguments: refusals) func whatIsNoModelHereIsRefused(_ input: Refusal) throws {
        let place = try Workplace()
        let path = try Self.exported(place)
        let python = try Python.run(
            Self.safetensors + """
                tensors, metadata = load(sys.argv[1])
                exec(sys.argv[3])
                save(sys.argv[2], tensors, metadata)
                """, path, place.file("variant"), input.change)
        #expect(python.exitCode == 0, "\(python.errors)")
        let result = try Program.run(
            ["import", place.file("variant"), "--out", place.file("variant.h5")] + input.words)
        #expect(result.exitCode == input.exitCode, "\(result.errors)")
        for text in input.says { #expect(result.errors.contains(text), "\(result.errors)") }
        #expect(!FileManager.default.fileExists(atPath: place.file("variant.h5")))
    }

    @Test func nothingIsOverwrittenOrHalfMade() throws {
        let place = try Workplace()
        let path = try Self.exported(place)
        let before = try Data(contentsOf: URL(fileURLWithPath: path))
        let again = try Program.run(["export", place.file("runs/tiny"), "--out", path])
        #expect(again.exitCode == 73)
        #expect(again.errors.contains("is there already"))
        #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == before)
        let last = place.file(InspectTests.checkpoint)
        #expect(try Program.run(["import", path, "--out", last]).exitCode == 73)
        #expect(try Program.run(["import", path, "--out", place.file("no/x.h5")]).exitCode == 73)
        #expect(try Program.run(["import", place.file("no"), "--out", "x"]).exitCode == 66)
        #expect(try Program.run(["import", last, "--out", place.file("x.h5")]).exitCode == 65)
        let otherData = try Program.run([
            "prepare", "--text", place.file("text.txt"), "--out", place.file("bytes"),
            "--tokenizer", "byte",
        ])
        #expect(otherData.exitCode == 0)
        let other = try Program.run([
            "import", path, "--out", place.file("x.h5"), "--data", place.file("bytes"),
        ])
        #expect(other.exitCode == 65)
        #expect(other.errors.contains("another vocabulary"))
    }

    // MARK: Checkpoints/README.md

    static let readme = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Checkpoints/README.md")

    /// The example of the format's contract, as it stands there, finds the digest that the run printed.
    @Test func theExampleOfTheFormatRuns() throws {
        let text = try String(contentsOf: Self.readme, encoding: .utf8)
        let parts = text.components(separatedBy: "```python\n")
        #expect(parts.count == 2)
        let script = try #require(parts.last?.components(separatedBy: "```").first)
        let place = try Workplace()
        let run = try Program.run(
            place.train("--out-dir", place.file("Checkpoints"), "--run-name", "run"))
        try FileManager.default.moveItem(
            atPath: place.file("Checkpoints/run/step-00000004.h5"),
            toPath: place.file("Checkpoints/run/step-00002000.h5"))
        let python = try Python.run(script, in: place.path)
        #expect(python.exitCode == 0, "\(python.errors)")
        #expect("weights sha256 \(python.output)" == digest(run).map { "\($0)\n" })
    }

    /// The tables of the contract list what is in a file, no more and no less.
    @Test func theContractListsWhatIsInAFile() throws {
        let rows = try String(contentsOf: Self.readme, encoding: .utf8).split(separator: "\n")
        let cells = rows.filter { $0.hasPrefix("| ") }.map { row in
            row.split(separator: "|").map {
                $0.trimmingCharacters(in: CharacterSet(charactersIn: " `"))
            }
        }
        let stated = cells.filter { $0[0].hasPrefix("/") }.map { $0[..<3].joined(separator: " ") }
        let place = try Workplace()
        #expect(try Program.run(place.train("--bias")).exitCode == 0)
        let python = try Python.run(
            """
            import h5py, hashlib, struct, sys
            import numpy as np

            def kind(dtype):
                return "string" if h5py.check_string_dtype(dtype) else dtype.name

            lines = set()
            with h5py.File(sys.argv[1]) as f:
                tensors, rows = len(f["weights"]), len(f["history/step"])
                def shape(x, path):
                    if x == (): return "scalar"
                    if path.startswith("/recent/"): return "[steps]" if x == (4,) else str(x)
                    if path.startswith("/history/"): return "[rows]" if x == (rows,) else str(x)
                    if "@" in path: return "[tensors]" if x == (tensors,) else str(x)
                    name = path.split("/")[-1]
                    return "tensor" if x == f["weights"][name].shape else str(x)
                def visit(path, thing):
                    path = "" if path == "/" else "/" + path
                    for name in thing.attrs:
                        item = thing.attrs.get_id(name)
                        line = f"{path}/@{name}"
                        lines.add(f"{line} {kind(item.dtype)} {shape(item.shape, line)}")
                    if isinstance(thing, h5py.Dataset):
                        assert thing.chunks is None and thing.dtype.byteorder != ">"
                        own = path.split("/")[-1]
                        line = path.replace(own, "<name>") if own in f["weights"] else path
                        lines.add(f"{line} {kind(thing.dtype)} {shape(thing.shape, path)}")
                visit("/", f["/"])
                f.visititems(visit)
            print("\\n".join(sorted(lines)))
            content = open(sys.argv[1], "rb").read()
            assert content[:16] == b"CAUSALGEN-CK" + bytes.fromhex("0D0A1A0A")
            assert struct.unpack("<QQ", content[16:32]) == (1, len(content) - 512)
            assert content[32:64] == hashlib.sha256(content[512:]).digest()
            assert content[64:512] == bytes(448)
            """, place.file(InspectTests.checkpoint))
        #expect(python.exitCode == 0, "\(python.errors)")
        #expect(stated.sorted() == python.output.split(separator: "\n").map(String.init))
    }
}
