import Host
import Model

/// A model in a safetensors file with nanoGPT's names: what shape it has, and its weights.
///
/// Names may have torch.compile's prefix `_orig_mod.` and may lack `transformer.`, as GPT-2's do. GPT-2's
/// linear maps are (in, out): whether a file's are is told by `mlp.c_fc`, once for all of them. The
/// buffers of attention's mask are passed over. `lm_head.weight` may stand beside the token embedding, if
/// it is the same, or in its place.
package struct SafetensorsModel {
    package let file: Safetensors
    package let layers: Int
    package let width: Int
    package let vocabulary: Int
    package let blockSize: Int
    package let bias: Bool
    /// By the layout's names.
    private let tensors: [String: Safetensors.Tensor]
    private let isTransposed: Bool

    private static let tokenEmbedding = "transformer.wte.weight"
    private static let head = "lm_head.weight"

    /// - Throws: exit code 65 where the tensors are not those of a model of this program.
    package init(_ file: Safetensors) throws(Failure) {
        self.file = file
        var tensors = try Self.named(file)
        if tensors[Self.tokenEmbedding] == nil {
            tensors[Self.tokenEmbedding] = tensors.removeValue(forKey: Self.head)
        }
        let found = tensors
        func matrix(_ name: String) throws(Failure) -> [Int] {
            guard let shape = found[name]?.shape else {
                throw Self.foreign(file, "it has no '\(name)'")
            }
            guard shape.count == 2, shape[0] > 0, shape[1] > 0 else {
                throw Self.foreign(file, "its '\(name)' has the shape \(shape)")
            }
            return shape
        }
        let embedding = try matrix(Self.tokenEmbedding)
        (vocabulary, width) = (embedding[0], embedding[1])
        blockSize = try matrix("transformer.wpe.weight")[0]
        layers = try Self.layerCount(file, tensors.keys)
        let expansion = try matrix("transformer.h.0.mlp.c_fc.weight")
        let (hidden, overflow) = width.multipliedReportingOverflow(by: 4)
        guard !overflow, expansion == [hidden, width] || expansion == [width, hidden] else {
            throw Self.foreign(
                file,
                "its 'mlp.c_fc.weight' has the shape \(expansion), and a hidden layer has four times "
                    + "the width \(width)")
        }
        isTransposed = expansion == [width, hidden]
        bias = tensors["transformer.ln_f.bias"] != nil
        self.tensors = tensors
    }

    /// The tensors that are weights, by the layout's names.
    private static func named(_ file: Safetensors) throws(Failure) -> [String: Safetensors.Tensor] {
        var tensors: [String: Safetensors.Tensor] = [:]
        for tensor in file.tensors.values {
            var name = tensor.name
            if name.hasPrefix("_orig_mod.") { name.removeFirst("_orig_mod.".count) }
            if !name.hasPrefix("transformer.") && name != head { name = "transformer." + name }
            if name.hasSuffix(".attn.bias") || name.hasSuffix(".attn.masked_bias") { continue }
            if let other = tensors.updateValue(tensor, forKey: name) {
                let names = [tensor.name, other.name].sorted()
                throw foreign(file, "'\(names[0])' and '\(names[1])' are one tensor's names")
            }
        }
        let attention = tensors.filter { $0.key.contains(".attn.c_attn.") }.map(\.value.name)
        if let name = attention.min() {
            throw foreign(
                file,
                "it has \(attention.count) tensors such as '\(name)', and the mixer `causal` has no "
                    + "query, key and value: a model that was trained with attention is another "
                    + "function")
        }
        return tensors
    }

    /// The blocks, which must be numbered from 0 without a gap.
    private static func layerCount(
        _ file: Safetensors, _ names: some Sequence<String>
    ) throws(Failure) -> Int {
        let prefix = "transformer.h."
        let indices = Set(
            names.filter { $0.hasPrefix(prefix) }.compactMap {
                Int($0.dropFirst(prefix.count).prefix { $0 != "." })
            })
        guard !indices.isEmpty, indices.min() == 0, indices.max() == indices.count - 1 else {
            throw foreign(
                file,
                indices.isEmpty
                    ? "it has no blocks 'transformer.h.0', …"
                    : "its blocks are not numbered from 0 without a gap")
        }
        return indices.count
    }

    private static func foreign(_ file: Safetensors, _ why: String) -> Failure {
        Failure(
            .damaged,
            "'\(file.path)' is no model that this program has: \(why); what is imported are models "
                + "of --mixer causal with nanoGPT's names, see causalgen import --help")
    }

    /// Copies the weights into an arena of `layout`.
    ///
    /// - Throws: exit code 65 where a tensor is missing, of another shape or type, or has no place.
    package func readWeights(
        _ layout: ParameterLayout, into weights: UnsafeMutablePointer<Float>
    ) throws(Failure) {
        let expected = Set(layout.tensors.map(\.name) + [Self.head])
        if let name = tensors.keys.filter({ !expected.contains($0) }).min() {
            throw Self.foreign(file, "it has '\(tensors[name]!.name)', for which there is no place")
        }
        for row in layout.tensors {
            guard let tensor = tensors[row.name] else {
                throw Self.foreign(file, "it has no '\(row.name)'")
            }
            let isTransposed = self.isTransposed && Self.isLinearMap(row)
            try requireShape(tensor, isTransposed ? row.shape.reversed() : row.shape)
            file.read(tensor, isTransposed: isTransposed, into: weights + row.offset)
        }
        guard let head = tensors[Self.head] else { return }
        let embedding = layout.tensors.first { $0.name == Self.tokenEmbedding }!
        try requireShape(head, embedding.shape)
        let copy = Arena(count: embedding.count)
        file.read(head, into: copy.floats)
        for index in 0..<embedding.count
        where copy.floats[index].bitPattern != weights[embedding.offset + index].bitPattern {
            throw Self.foreign(
                file,
                "its '\(head.name)' is not its token embedding, element \(index) is different, and "
                    + "the models here have one tensor for both")
        }
    }

    /// Whether a row is the matrix of a linear map and no embedding.
    private static func isLinearMap(_ row: ParameterTensor) -> Bool {
        row.shape.count == 2 && row.name.contains(".c_")
    }

    private func requireShape(_ tensor: Safetensors.Tensor, _ shape: [Int]) throws(Failure) {
        guard tensor.shape == shape else {
            throw Self.foreign(
                file, "its '\(tensor.name)' is \(tensor.shape), and \(shape) is expected")
        }
        guard tensor.type.isReadable else {
            throw Self.foreign(
                file,
                "its '\(tensor.name)' is of \(tensor.type.rawValue); F32, F16 and BF16 are read")
        }
    }
}
