/// What `causalgen gradcheck` is asked for, beside the model.
package struct GradientCheckOptions: Sendable {
    /// Of each tensor.
    package var elements: Int
    /// V; nil: that of the data, or 65 without data.
    package var vocabulary: Int?
    package var json: Bool

    package init(elements: Int, vocabulary: Int?, json: Bool) {
        self.elements = elements
        self.vocabulary = vocabulary
        self.json = json
    }
}
