import Glibc
import Host

/// Unpacks `.gz` through the system's gzip, which every Debian has.
enum Gzip {
    /// The unpacked content of an open file.
    ///
    /// - Throws: exit code 65 where it is no gzip file or is damaged, 66 where gzip is not
    ///   installed.
    static func unpack(_ descriptor: Int32, _ path: String, limit: Int) throws(Failure) -> [UInt8] {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0, fcntl(ends[0], F_SETFD, FD_CLOEXEC) == 0,
            fcntl(ends[1], F_SETFD, FD_CLOEXEC) == 0
        else { throw Failure.system("make a pipe for", path) }
        let process = start(input: descriptor, output: ends[1])
        close(ends[1])  // so that the end of gzip is the end of the pipe
        guard let process else {
            close(ends[0])
            throw Failure(
                .missingInput,
                "'\(path)' cannot be unpacked: the program gzip cannot be started; "
                    + "'apt install gzip', or unpack it and give the text")
        }
        let content = Result { () throws(Failure) in
            try TextSource.bytes(of: ends[0], path, limit: limit)
        }
        close(ends[0])  // ends gzip too, where reading stopped early
        var status: Int32 = -1  // stays so where something else took the process's end
        while waitpid(process, &status, 0) < 0 && errno == EINTR {}
        let bytes = try content.get()
        guard status == 0 else {
            throw Failure(
                .damaged,
                "'\(path)' cannot be unpacked: it is no gzip file, or it was cut or changed "
                    + "('gzip --test' says more); give the text itself or a whole file")
        }
        return bytes
    }

    /// Starts `gzip -dc` between two descriptors; nil where it cannot be started.
    private static func start(input: Int32, output: Int32) -> pid_t? {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO)
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0)
        var process: pid_t = 0
        let words: [UnsafeMutablePointer<CChar>?] = ["gzip", "-dc"].map { (word: String) in
            strdup(word)
        }
        defer { words.forEach { free($0) } }
        let code = posix_spawnp(&process, "gzip", &actions, nil, words + [nil], nil)
        return code == 0 ? process : nil
    }
}
