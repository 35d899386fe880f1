# The same image as `make image` makes, for those who build with a container engine. Untested: no test of this repository
# runs it, as that would need an engine. `make image` is what is tested, and gives the same digest wherever it runs.
FROM golang:1.26 AS build
WORKDIR /source
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -o /maildomain .

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /maildomain /maildomain
USER 65532:65532
ENTRYPOINT ["/maildomain"]
