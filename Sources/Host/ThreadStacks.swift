import CHost
import Glibc

/// The call stacks of the threads of this process, whatever they are at.
///
/// Each thread is sent a signal and writes its own stack in the handler, which allocates nothing and takes no
/// lock; names are looked up afterwards, by the one who has asked. The signal is SIGURG, which means nothing
/// where nobody handles it, and at which debuggers do not stop.
struct ThreadStacks {
    struct Stack {
        /// The kernel's number of the thread.
        let thread: Int32
        /// The thread's name, as `ps -L` shows it.
        let name: String
        /// Where it is, and where its calls return to, the innermost first; empty where it has given no
        /// answer.
        let addresses: [Int]
    }

    static let signal = SIGURG
    private static let answerSeconds = 0.5
    private let symbols = SymbolTable("/proc/self/exe")
    /// Where the program's own file lies in memory: its table of segments is behind the header's 64 bytes.
    private let base = Int(causalgen_program_headers()) - 64

    /// Lets the threads of this process answer from now on.
    static func prepare() { _ = causalgen_install_stack_handler(signal) }

    // MARK: Taking stacks

    /// The kernel's numbers of all threads but the calling one.
    static var others: [Int32] {
        let own = causalgen_thread_number()
        return threads().filter { $0 != own }
    }

    /// The stack of another thread.
    static func stack(of thread: Int32) -> Stack {
        Stack(thread: thread, name: name(of: thread), addresses: addresses(of: thread))
    }

    /// The stack of the calling thread, which is in a signal's handler.
    ///
    /// - Parameter address: of the instruction that raised the signal.
    static func own(from address: Int) -> Stack {
        var frames = [UnsafeMutableRawPointer?](repeating: nil, count: Int(causalgen_most_frames))
        let count = Int(backtrace(&frames, Int32(frames.count)))
        let thread = causalgen_thread_number()
        return Stack(
            thread: thread, name: name(of: thread),
            addresses: Array(
                frames[..<count].map { Int(bitPattern: $0) }.drop { $0 != address }))
    }

    /// The kernel's numbers of the threads, in the order in which they were made.
    private static func threads() -> [Int32] {
        guard let entries = opendir("/proc/self/task") else { return [] }
        defer { closedir(entries) }
        var threads: [Int32] = []
        while let entry = readdir(entries) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if let thread = Int32(name) { threads.append(thread) }
        }
        return threads.sorted()
    }

    private static func name(of thread: Int32) -> String {
        let name = try? MappedFile.text("/proc/self/task/\(thread)/comm")
        return String(name?.split(separator: "\n").first ?? "")
    }

    private static func addresses(of thread: Int32) -> [Int] {
        // One that answers too late still writes to it: it is only freed once it was written.
        let stack = UnsafeMutablePointer<causalgen_stack>.allocate(capacity: 1)
        stack.initialize(to: causalgen_stack())
        guard causalgen_ask_for_stack(thread, signal, stack) == 0 else {
            stack.deallocate()
            return []
        }
        for _ in 0..<Int(answerSeconds * 1e4) where causalgen_stack_count(stack) == 0 {
            usleep(100)
        }
        let count = Int(causalgen_stack_count(stack))
        guard count > 0 else { return [] }
        defer { stack.deallocate() }
        let frames = withUnsafeBytes(of: &stack.pointee.frames) {
            $0.bindMemory(to: Int.self).prefix(count).map { $0 }
        }
        // The innermost two are the handler and the way back from it.
        return Array(frames.dropFirst(2))
    }

    // MARK: Names

    /// A line for each call of a stack: function, how far into it, file and address in that.
    func lines(of stack: Stack) -> [String] {
        stack.addresses.enumerated().map { depth, address in
            // A call may be the last instruction of its function: its own address is wanted.
            "#\(depth) \(text(of: depth == 0 ? address : address - 1))"
        }
    }

    private func text(of address: Int) -> String {
        var symbol = causalgen_symbol()
        guard causalgen_find_symbol(UnsafeRawPointer(bitPattern: address), &symbol) != 0 else {
            return "0x\(String(address, radix: 16))"
        }
        let start = Int(bitPattern: symbol.file_start)
        let path = String(cString: symbol.file)
        let file = path.split(separator: "/").last.map(String.init) ?? path
        let place = "\(file)+0x\(String(address - start, radix: 16))"
        if start == base,
            let found = symbols.function(at: symbols.isRelocatable ? address - base : address)
        {
            return "\(Self.shortened(found.name)) + \(found.offset) (\(place))"
        }
        guard let name = symbol.name else { return place }
        let offset = address - Int(bitPattern: symbol.start)
        let plain = SymbolTable.plainName(String(cString: name))
        return "\(Self.shortened(plain)) + \(offset) (\(place))"
    }

    /// The beginning of a name, which may have all the types of its arguments in it.
    private static func shortened(_ name: String) -> String {
        name.count <= mostCharacters ? name : name.prefix(mostCharacters) + "…"
    }

    private static let mostCharacters = 120
}
